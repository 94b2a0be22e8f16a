import BridgeCore
import Foundation
import TestSupport
import Testing

@testable import TorchFiles

/// Pickles of Python 3.11: `list(pickle.dumps(VALUE, protocol=P))` of the value in the comment.
@Suite struct PickleTests {
    // {"a": [1, -2, 300, 70000, 2**40, -(2**40), 2**70], "b": (1.5, None, True, False), "c": "é", "d": b"xy"}, protocol 4
    private static let mixed: [UInt8] = [
        128, 4, 149, 92, 0, 0, 0, 0, 0, 0, 0, 125, 148, 40, 140, 1, 97, 148, 93, 148, 40, 75, 1, 74, 254, 255, 255, 255,
        77, 44, 1, 74, 112, 17, 1, 0, 138, 6, 0, 0, 0, 0, 0, 1, 138, 6, 0, 0, 0, 0, 0, 255, 138, 9, 0, 0, 0, 0, 0, 0, 0,
        0, 64, 101, 140, 1, 98, 148, 40, 71, 63, 248, 0, 0, 0, 0, 0, 0, 78, 136, 137, 116, 148, 140, 1, 99, 148, 140, 2,
        195, 169, 148, 140, 1, 100, 148, 67, 2, 120, 121, 148, 117, 46,
    ]
    // t = (1, 2); [t, t, {"k": t}], protocol 2
    private static let shared: [UInt8] = [
        128, 2, 93, 113, 0, 40, 75, 1, 75, 2, 134, 113, 1, 104, 1, 125, 113, 2, 88, 1, 0, 0, 0, 107, 113, 3, 104, 1,
        115,
        101, 46,
    ]
    // argparse.Namespace(hidden_size=64, lr=1.5), protocol 2
    private static let namespace: [UInt8] = [
        128, 2, 99, 97, 114, 103, 112, 97, 114, 115, 101, 10, 78, 97, 109, 101, 115, 112, 97, 99, 101, 10, 113, 0, 41,
        129,
        113, 1, 125, 113, 2, 40, 88, 11, 0, 0, 0, 104, 105, 100, 100, 101, 110, 95, 115, 105, 122, 101, 113, 3, 75, 64,
        88,
        2, 0, 0, 0, 108, 114, 113, 4, 71, 63, 248, 0, 0, 0, 0, 0, 0, 117, 98, 46,
    ]

    private func read(_ bytes: [UInt8], _ globals: PickleGlobals = .listed([])) throws -> PickleGraph.Reference {
        try PickleReader.read(bytes, name: "a pickle", globals: globals).reference
    }

    private func failure(_ bytes: [UInt8], _ globals: PickleGlobals = .listed([])) -> String {
        do {
            _ = try read(bytes, globals)
            return "no error"
        } catch { return (error as? BridgeError)?.message ?? "\(error)" }
    }

    @Test func valuesAreThoseOfPython() throws {
        let value = try read(Self.mixed)
        let numbers = try #require(value["a"]?.items)
        #expect(numbers.map(\.integer) == [1, -2, 300, 70000, 1 << 40, -(1 << 40), nil])
        #expect(numbers[6].value == .longInteger([0, 0, 0, 0, 0, 0, 0, 0, 64]))
        let others = try #require(value["b"]?.items)
        #expect(others.map(\.value) == [.real(1.5), .none, .bool(true), .bool(false)])
        #expect(value["c"]?.text == "é")
        #expect(value["d"]?.value == .bytes([120, 121]))
        #expect(value["e"] == nil)
    }

    @Test func aValueThatIsUsedTwiceIsOneNode() throws {
        let items = try #require(try read(Self.shared).items)
        #expect(items[0].value == items[1].value)
        #expect(items[2]["k"]?.value == items[0].value)
        #expect(items[0].items?.map(\.integer) == [1, 2])
    }

    @Test(arguments: [mixed, shared]) func whatIsWrittenIsReadAgain(_ bytes: [UInt8]) throws {
        let graph = try PickleReader.read(bytes, name: "a pickle", globals: .listed([]))
        let again = try PickleReader.read(PickleWriter.pickle(graph), name: "a pickle", globals: .listed([]))
        #expect(again.nodes.count == graph.nodes.count)
        #expect(try PickleWriter.pickle(again) == PickleWriter.pickle(graph))
    }

    @Test func anUnknownClassIsNamedAndNotLoaded() throws {
        #expect(failure(Self.namespace).contains("argparse.Namespace, which is not among the classes of such a file"))
        let value = try read(Self.namespace, .opaque)
        #expect(value.callable == PickleGlobal("argparse", "Namespace"))
        #expect(value.attribute("hidden_size")?.integer == 64)
        #expect(value.attribute("lr")?.real == 1.5)
        // os.system("true")
        let call: [UInt8] =
            [128, 2] + Array("cos\nsystem\n".utf8) + [88, 4, 0, 0, 0] + Array("true".utf8) + [133, 82, 46]
        #expect(failure(call).contains("os.system"))
        #expect(try read(call, .opaque).callable == PickleGlobal("os", "system"))
    }

    @Test func whatCheckpointsDoNotNeedIsRefused() {
        // INST, OBJ, EXT1 and PERSID.
        for opcode: UInt8 in [0x69, 0x6F, 0x82, 0x50] {
            #expect(failure([128, 2, opcode, 46]).contains("opcode 0x\(String(opcode, radix: 16))"))
        }
        #expect(failure([128, 1, 78, 46]).contains("names protocol 1"))
    }

    @Test func everyCutAndEveryChangedByteIsAnErrorOrAnotherValue() {
        for bytes in [Self.mixed, Self.shared, Self.namespace] {
            for end in bytes.indices { #expect(throws: BridgeError.self) { try read(Array(bytes[..<end]), .opaque) } }
            for position in bytes.indices {
                for value: UInt8 in [0, 0x28, 0x2E, 0x52, 0x62, 0x7F, 0xFF] {
                    var changed = bytes
                    changed[position] = value
                    do { _ = try read(changed, .opaque) } catch { #expect(error is BridgeError) }
                }
            }
        }
    }

    @Test func depthLengthsAndNumbersAreBounded() throws {
        // A million tuples in each other: read, and released without recursion.
        let deep = [UInt8](repeating: 133, count: 1_000_000)
        #expect(try read([128, 2, 78] + deep + [46]).items?.count == 1)
        #expect(failure([128, 2, 88, 255, 255, 255, 255, 65, 46]).contains("announces 4294967295 bytes"))
        #expect(failure([128, 4, 141] + [UInt8](repeating: 255, count: 8) + [46]).contains("bytes, but 1 follow"))
        #expect(failure([128, 2] + [UInt8](repeating: 40, count: 2000) + [46]).contains("more values"))
        var limits = PickleReader.Limits()
        limits.nodes = 100
        #expect(throws: BridgeError.self) {
            try PickleReader.read(
                [128, 2] + [UInt8](repeating: 93, count: 200) + [46],
                name: "a pickle",
                globals: .opaque,
                limits: limits
            )
        }
        // A list that holds itself.
        let cycle = try read([128, 2, 93, 113, 0, 104, 0, 97, 46])
        #expect(cycle.items?.first?.value == cycle.value)
        #expect(throws: BridgeError.self) {
            try PickleWriter.pickle(cycle.graph)
        }
    }
}
