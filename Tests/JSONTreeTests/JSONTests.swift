import JSONTree
import Testing

@Suite struct JSONTests {
    private func parse(_ text: String) throws -> JSON { try JSON(parsing: Array(text.utf8)) }
    private func text(_ json: JSON) -> String { String(decoding: json.text(pretty: false), as: UTF8.self) }

    @Test func orderAndDigitsSurvive() throws {
        let source = #"{"z":1e-05,"a":[1.0,-3,12345678901234567],"m":{"k":null,"b":true}}"#
        #expect(text(try parse(source)) == source)
    }

    /// The layout of Python's json.dumps(indent=2).
    @Test func prettyTextIsIndentedByTwo() throws {
        let json = try parse(#"{"a":[1,2],"b":{},"c":"x/y"}"#)
        #expect(
            String(decoding: json.text(), as: UTF8.self)
                == "{\n  \"a\": [\n    1,\n    2\n  ],\n  \"b\": {},\n  \"c\": \"x/y\"\n}\n"
        )
    }

    @Test(arguments: [
        "", "{", "[1,]", "{\"a\":1,}", "{'a':1}", "nul", "1 2", "{\"a\" 1}", "[NaN]", "\"\u{1}\"", "{\"a\":1}x", "01",
        "+1",
    ])
    func whatIsNotJSONIsRefused(_ text: String) {
        #expect(throws: JSONError.self) { try parse(text) }
    }

    @Test(arguments: [#"{"a":1,"a":2}"#, #"{"b":{"a":1,"\u0061":2}}"#, #"[{"":1,"":1}]"#])
    func aKeyThatStandsTwiceIsRefused(_ text: String) {
        #expect(throws: JSONError.self) { try parse(text) }
    }

    @Test func keysThatOnlyLookAlikeAreDifferentKeys() throws {
        let json = try parse("{\"\u{E9}\":1,\"e\u{301}\":2}")
        #expect(json.object?.count == 2)
        #expect(json["e\u{301}"] == 2)
        #expect(json["\u{E9}"] == 1)
    }

    @Test func everyEscapedPairOfSurrogatesIsItsCharacter() throws {
        for scalar in stride(from: UInt32(0x10000), to: 0x110000, by: 331) {
            let character = try #require(Unicode.Scalar(scalar))
            let units = Array(String(character).utf16)
            let escaped = units.map { "\\u" + String($0, radix: 16) }.joined()
            #expect(try parse("[\"\(escaped)\"]") == [.string(String(character))])
        }
    }

    @Test func nullCharactersSurviveInKeysAndValues() throws {
        let json = try parse(#"{"a\u0000b":"\u0000"}"#)
        #expect(json["a\0b"] == .string("\0"))
        #expect(text(json) == #"{"a\u0000b":"\u0000"}"#)
    }

    @Test func whatStandsForANullIsNotTakenForOne() throws {
        let noncharacter = Self.noncharacter(0x90)
        #expect(try parse(#"["\ufdd0"]"#) == [.string(noncharacter)])
        let pair: JSON = .array([.string(noncharacter), .string("\0")])
        #expect(try parse(#"["\ufdd0","\u0000"]"#) == pair)
        #expect(try parse("[\"\(noncharacter)\",\"\\u0000\"]") == pair)
    }

    /// U+FDD0 for 0x90, which Swift does not spell.
    private static func noncharacter(_ last: UInt8) -> String { String(decoding: [0xEF, 0xB7, last], as: UTF8.self) }

    @Test func everyMixOfANullAndNoncharactersIsRead() throws {
        let (first, second) = (Self.noncharacter(0x90), Self.noncharacter(0x91))
        let scalars: [(text: String, escape: String)] = [
            ("\0", #"\u0000"#), (first, #"\uFDD0"#), (first, first), (second, #"\ufdd1"#), (second, second),
            (#"\u0000"#, #"\\u0000"#), ("a", "a"),
        ]
        // All texts of four of them, as keys and as values, there and back.
        for number in 0..<scalars.count * scalars.count * scalars.count * scalars.count {
            let places = [number % 7, number / 7 % 7, number / 49 % 7, number / 343]
            let text = places.map { scalars[$0].text }.joined()
            let escaped = places.map { scalars[$0].escape }.joined()
            let json = try parse("{\"\(escaped)\":\"\(escaped)\",\"\":[\"\(escaped)x\"]}")
            #expect(json.object?.keys.first.map { Array($0.utf8) } == Array(text.utf8))
            #expect(json[text]?.string.map { Array($0.utf8) } == Array(text.utf8))
            #expect(json[""]?.array?.first?.string.map { Array($0.utf8) } == Array((text + "x").utf8))
            #expect(try parse(self.text(json)) == json)
        }
    }

    @Test func keysThatOnlyTheNullTellsApartAreDifferent() throws {
        let (first, second) = (Self.noncharacter(0x90), Self.noncharacter(0x91))
        let json = try parse("{\"\\u0000\":1,\"\(first)\":2,\"\(first)\(first)\":3,\"\(first)\(second)\":4}")
        #expect(json.object?.map(\.value) == [1, 2, 3, 4])
        #expect(json["\0"] == 1 && json[first] == 2)
    }

    @Test func nestingEndsBeforeTheStackDoes() throws {
        let allowed = JSON.maximumDepth
        #expect(throws: Never.self) {
            try parse(String(repeating: "[", count: allowed) + String(repeating: "]", count: allowed))
        }
        #expect(throws: JSONError.self) { try parse(String(repeating: "[", count: 1_000_000)) }
        #expect(throws: JSONError.self) { try parse(String(repeating: "{\"a\":", count: 100_000)) }
    }

    @Test func pathsReachIntoObjectsAndSetMakesThem() throws {
        var json = try parse(#"{"rope":{"theta":1}}"#)
        json.set(2, at: "rope.factor")
        json.set(nil, at: "rope.theta")
        json.set(nil, at: "absent.key")
        json.set("x", at: "new.path.here")
        #expect(text(json) == #"{"rope":{"factor":2},"new":{"path":{"here":"x"}}}"#)
        #expect(json[path: "new.path.here"] == "x")
    }
}
