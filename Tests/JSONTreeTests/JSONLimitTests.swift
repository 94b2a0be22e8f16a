import JSONTree
import Testing

/// Text that is small, and whose values are not.
@Suite struct JSONLimitTests {
    private func parse(_ text: String, memory: Int) throws -> JSON {
        try JSON(parsing: Array(text.utf8), maximumMemory: memory)
    }

    @Test(arguments: ["[]", "{}", "0", "null", #"{"a":{}}"#, #"[{"role":"user"}]"#, #"{"a":"0123456789abcdef"}"#])
    func manySmallValuesAreRefusedBeforeTheyAreMade(_ value: String) throws {
        let text = "[" + Array(repeating: value, count: 10_000).joined(separator: ",") + "]"
        let error = #expect(throws: JSONError.self) { try parse(text, memory: 50_000) }
        #expect(error?.description.contains("50000 bytes of memory") == true)
        // It stops where the memory ends, and not behind the whole of the text.
        #expect((error?.offset ?? .max) < text.utf8.count / 2)
        #expect(try parse(text, memory: 10_000_000).array?.count == 10_000)
    }

    @Test func manyMembersAreRefusedBeforeTheyAreMade() throws {
        let text = "{" + (0..<10_000).map { "\"\($0)\":0" }.joined(separator: ",") + "}"
        #expect(throws: JSONError.self) { try parse(text, memory: 100_000) }
        let object = try #require(try parse(text, memory: 10_000_000).object)
        #expect(object.count == 10_000 && object["9999"] == 0 && object["10000"] == nil)
    }

    @Test func membersOfALongObjectAreReadOneByOne() throws {
        var members = try JSONMembers(Array(#" {"a" : [1, {"b": 2}], "c":null } "#.utf8))
        var read: [String: JSON] = [:]
        while let (key, value) = try members.next() { read[key] = value }
        #expect(read == ["a": [1, ["b": 2]], "c": .null])
        #expect(try members.next() == nil)
    }

    @Test(arguments: [
        "", "[]", "{", "{\"a\":1,}", "{\"a\":1}x", "{\"a\" 1}", "{,}", "{\"a\":1 \"b\":2}", "{\"a\":01}",
    ])
    func whatIsNotAnObjectHasNoMembers(_ text: String) {
        #expect(throws: JSONError.self) {
            var members = try JSONMembers(Array(text.utf8))
            while try members.next() != nil {}
        }
    }

    @Test func aKeyAmongManyThatStandsTwiceIsRefused() {
        let keys = (0..<20).map { "\"k\($0)\":0" }
        for (first, last) in [(3, 3), (3, 19), (12, 19)] {
            let text = "{" + (keys[...last] + [keys[first]]).joined(separator: ",") + "}"
            #expect(throws: JSONError.self) { try parse(text, memory: 1 << 20) }
        }
    }

    @Test func membersAreReplacedAndRemovedAmongFewAndMany() {
        for count in [3, 30] {
            var object = JSONObject((0..<count).map { ("k\($0)", JSON.number(JSONNumber($0))) })
            object["k1"] = "x"
            object["k0"] = nil
            object["new"] = true
            #expect(object.count == count && object.keys.first == "k1" && object["k0"] == nil)
            #expect(object["k1"] == "x" && object["k2"] == 2 && object["new"] == true)
            #expect(object.map(\.key) == object.keys)
        }
    }

    /// The digits that Python's json keeps, and those of numbers that a double does not hold.
    @Test(arguments: ["-0", "1E5", "123456789012345678901234567890", "1e-05", "-0.0"])
    func digitsSurvive(_ number: String) throws {
        let json = try parse("[\(number)]", memory: 1000)
        #expect(String(decoding: json.text(pretty: false), as: UTF8.self) == "[\(number)]")
    }

    @Test func halfAPairOfSurrogatesIsNotACharacter() throws {
        let json = try parse(#"["\ud800","\udc00x","\ud800\u0041"]"#, memory: 1000)
        #expect(json == ["\u{FFFD}", "\u{FFFD}x", "\u{FFFD}A"])
    }

    @Test(arguments: [#"["\x"]"#, #"["\u12g4"]"#, #"["\u+123"]"#, #"["\u12"]"#, #"["\"]"#, "[\"\u{7}\"]"])
    func wrongEscapesAreRefused(_ text: String) {
        #expect(throws: JSONError.self) { try parse(text, memory: 1000) }
    }
}
