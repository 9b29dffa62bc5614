import ArgumentParser
import BuildOSDaemon

@main
struct Main {
    static func main() async { await BuildOSDaemon.main() }
}
