import TestSupport
import Testing

@testable import BuildOSKit

@Suite("BOT-3: priorities of controllers") struct ControllerPriorityTests {
    static func priority(_ digits: String) throws -> ControllerPriority {
        ControllerPriority(try Controller(digits.isEmpty ? "http://h/" : "\(digits)=http://h/"))
    }

    @Test("BOT-3: controllers are asked by priority, those of one priority in any order")
    func order() throws {
        let texts = ["0001=http://a/", "http://b/", "1000=http://c/", "10010=http://d/", "0001=http://e/"]
        let controllers = try texts.map { try Controller($0) }
        var firsts: Set<String> = []
        var generator = TestSupport.SeededGenerator(seed: 3)
        for _ in 0..<50 {
            let asked = ControllerPriority.order(controllers, using: &generator).map(\.url.authority)
            #expect(asked.first == "c" && asked[1] == "d" && asked.last == "b")
            #expect(Set(asked) == ["a", "b", "c", "d", "e"])
            firsts.insert(asked[2])
        }
        #expect(firsts == ["a", "e"])
    }

    @Test(
        "BOT-3: what may be asked, and interrupted, while a task runs",
        arguments: [
            ("0001", "0002", true, ControllerPriority.Interruption.none), ("0000", "0009", true, .none),
            ("0009", "0010", false, .none), ("0010", "0009", true, .none), ("0020", "0010", true, .none),
            ("0100", "0099", true, .one), ("0100", "0100", true, .none), ("0090", "0100", false, .none),
            ("1000", "0999", true, .all), ("1200", "1100", true, .one), ("0900", "1000", false, .none),
            ("10000", "", true, .none), ("", "0009", true, .none), ("11000", "0100", true, .all),
        ]
    )
    func whileRunning(asked: String, running: String, isAsked: Bool, interruption: ControllerPriority.Interruption)
        throws
    {
        let (asked, running) = (try Self.priority(asked), try Self.priority(running))
        #expect(asked.isAsked(whileRunning: running) == isAsked)
        #expect(asked.interruption(of: running) == interruption)
    }

    @Test("BOT-3: the boost is no part of the order")
    func boost() throws {
        #expect(try Self.priority("10001").isBoosted)
        #expect(try !Self.priority("00001").isBoosted)
        #expect(try Self.priority("10001") < Self.priority("0002"))
        #expect(try Self.priority("10001").description == "10001" && Self.priority("").description == "0000")
    }
}
