import Foundation
import JSONTree
import TestSupport

extension FaultTests {
    private static func index(_ change: @escaping @Sendable (inout JSON) -> Void) -> @Sendable (URL) throws -> Void {
        { try Models.edit($0.appendingPathComponent("model.safetensors.index.json"), change) }
    }

    private static func assign(_ file: JSON) -> @Sendable (URL) throws -> Void {
        index { json in
            var map = json["weight_map"]?.object ?? JSONObject()
            map["lm_head.weight"] = file
            var object = json.object ?? JSONObject()
            object["weight_map"] = .object(map)
            json = .object(object)
        }
    }

    private static func configuration(_ text: String) -> @Sendable (URL) throws -> Void {
        { try Data(text.utf8).write(to: $0.appendingPathComponent("config.json")) }
    }

    private static func set(_ path: String, _ value: JSON?) -> @Sendable (URL) throws -> Void {
        { try Models.edit($0.appendingPathComponent("config.json")) { $0.set(value, at: path) } }
    }

    private static func deep(_ levels: Int) -> String {
        String(repeating: "{\"a\":", count: levels) + "1" + String(repeating: "}", count: levels)
    }

    /// What can be wrong in an index and in a configuration.
    static let texts: [Fault] = [
        Fault(
            testDescription: "an index that names a file outside the directory",
            status: 4,
            words: ["index.json", "lm_head.weight", "../other.safetensors", "in the same directory"],
            damage: assign("../other.safetensors")
        ),
        Fault(
            testDescription: "an index that names an absolute path",
            status: 4,
            words: ["index.json", "/etc/other.safetensors", "in the same directory"],
            damage: assign("/etc/other.safetensors")
        ),
        Fault(
            testDescription: "an index that names a number",
            status: 4,
            words: ["index.json", "lm_head.weight in 3"],
            damage: assign(3)
        ),
        Fault(
            testDescription: "an index that places a tensor in another shard",
            status: 4,
            words: ["index.json", "lm_head.weight", "1 tensor found in another file", "Download the index"],
            damage: assign("model-00001-of-00003.safetensors")
        ),
        Fault(
            testDescription: "an index without a map",
            status: 4,
            words: ["index.json", "no weight_map"],
            damage: index { $0 = ["metadata": .object(JSONObject())] }
        ),
        Fault(
            testDescription: "an index that is cut short",
            status: 4,
            words: ["index.json", "end of data"]
        ) {
            let file = $0.appendingPathComponent("model.safetensors.index.json")
            try Data(contentsOf: file).dropLast(30).write(to: file)
        },
        Fault(
            testDescription: "a key that stands twice",
            status: 4,
            words: ["config.json", "\"hidden_size\" is twice"],
            damage: configuration(#"{"hidden_size": 36, "hidden_size": 40}"#)
        ),
        Fault(
            testDescription: "a key that stands twice, once with an escape",
            status: 4,
            words: ["config.json", "is twice"],
            damage: configuration(#"{"a": 36, "\u0061": 40}"#)
        ),
        Fault(
            testDescription: "a deep JSON",
            status: 4,
            words: ["config.json", "more than 64 levels"],
            damage: configuration(deep(65))
        ),
        Fault(
            testDescription: "a JSON so deep that a stack would overflow",
            status: 4,
            words: ["config.json", "more than 64 levels"],
            damage: configuration(deep(200_000))
        ),
        Fault(
            testDescription: "a number that JSON does not have",
            status: 4,
            words: ["config.json", "NaN is not a JSON value"],
            damage: configuration(#"{"rope_theta": NaN}"#)
        ),
        Fault(
            testDescription: "an empty configuration",
            status: 4,
            words: ["config.json", "end of data"],
            damage: configuration("")
        ),
        Fault(
            testDescription: "a configuration that is a list",
            status: 1,
            words: ["config.json", "architectures"],
            damage: configuration("[]")
        ),
        Fault(
            testDescription: "an architecture that nobody knows",
            status: 1,
            words: ["NoSuchModel", "AddAModel"],
            damage: set("architectures", ["NoSuchModel"])
        ),
        Fault(
            testDescription: "as many layers as numbers go",
            status: 1,
            words: ["config.json", "num_layers is 1000000000000000000"],
            damage: set("num_hidden_layers", 1_000_000_000_000_000_000)
        ),
        Fault(
            testDescription: "heads of no width",
            status: 1,
            words: ["config.json", "kv_channels is 0"],
            damage: set("head_dim", 0)
        ),
        Fault(
            testDescription: "a negative number of KV groups",
            status: 1,
            words: ["config.json", "num_query_groups is -4"],
            damage: set("num_key_value_heads", -4)
        ),
        Fault(
            testDescription: "a size in words",
            status: 1,
            words: ["config.json", "hidden_size is \"36\", expected a whole number"],
            damage: set("hidden_size", "36")
        ),
    ]
}
