import BuildOSCommands

@main
struct Main {
    static func main() async { await BuildOSControl.runAsCalled() }
}
