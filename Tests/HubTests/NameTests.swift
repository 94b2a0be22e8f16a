import BridgeCore
import Foundation
import TestSupport
import Testing

/// An id that cannot be used is one sentence with what to do, whatever the command.
@Suite struct NameTests {
    private let server: HubServer
    private let scratch: TemporaryDirectory

    init() throws {
        server = try HubServer()
        scratch = try TemporaryDirectory()
        try server.put(directory: Fixtures.checkpoint("mistral"))
        try server.put("data/train.jsonl", "{\"a\": 1}\n", in: "datasets/org/data")
        try Data("{\"messages\": []}\n".utf8).write(to: scratch.url("rows.jsonl"))
    }

    /// The commands that take an id, by the place of the id.
    static let commands: [String: [String]] = [
        "generate": ["generate", "--hf-model", "ID", "--prompt", "a"],
        "generate with adapters": ["generate", "--hf-model", "MODEL", "--adapter", "ID", "--prompt", "a"],
        "train": [
            "train", "--recipe", "mistral_7b_finetune_config", "--pretrained-checkpoint", "ID", "--dataset-type",
            "preloaded", "dataset.train_data_path=ROWS", "checkpoint.save=OUT",
        ],
        "data": ["data", "check", "--hf-model", "ID", "--data", "ROWS"],
        "verify": ["verify", "MODEL", "ID"],
        "adapter": ["adapter", "merge", "--hf-model", "MODEL", "--adapter", "ID", "--hf-path", "OUT"],
        "convert": ["convert", "--hf-model", "ID", "--megatron-path", "OUT"],
        "inspect": ["inspect", "ID"],
    ]

    private func run(_ command: String, _ id: String, _ variables: [String: String] = [:]) throws
        -> BridgeProcess.Outcome
    {
        let places = [
            "ID": id, "MODEL": Fixtures.checkpoint("mistral"), "ROWS": scratch.path("rows.jsonl"),
            "OUT": scratch.path("out"),
        ]
        let arguments = (Self.commands[command] ?? []).map { argument in
            places.reduce(argument) { text, place in
                text == place.key || text.hasSuffix("=\(place.key)")
                    ? text.dropLast(place.key.count) + place.value : text
            }
        }
        return try BridgeProcess(arguments, environment: server.variables.merging(variables) { $1 }).wait()
    }

    /// That nothing was begun.
    private func expectNothingMade() { #expect(scratch.content == ["rows.jsonl"]) }

    @Test(arguments: commands.keys.sorted()) func withoutANetworkTheErrorNamesWhatToCheck(_ command: String) throws {
        let outcome = try run(command, "org/name", ["HF_ENDPOINT": "http://127.0.0.1:1"])
        expect(
            outcome,
            failsWith: 1,
            mentioning: "org/name is not in the cache",
            "http://127.0.0.1:1 cannot be reached",
            "check the network"
        )
        // A host that is not reached is retried once.
        #expect(outcome.errors.components(separatedBy: "trying again").count - 1 <= 1, "\(outcome.errors)")
        expect(
            try run(command, "org/name", ["HF_HUB_OFFLINE": "1"]),
            failsWith: 1,
            mentioning: "org/name is not in",
            "HF_HUB_OFFLINE"
        )
        expectNothingMade()
    }

    @Test(arguments: commands.keys.sorted()) func anUnknownNameIsToBeChecked(_ command: String) throws {
        expect(
            try run(command, "org/none"),
            failsWith: 1,
            mentioning: "no model org/none",
            "no directory has that name here",
            "check the name"
        )
        expectNothingMade()
    }

    @Test(arguments: commands.keys.sorted()) func aBranchThatIsGoneIsNamed(_ command: String) throws {
        expect(
            try run(command, "org/name@gone"),
            failsWith: 1,
            mentioning: "org/name has no branch, tag or commit 'gone'",
            "remove '@gone'"
        )
        expectNothingMade()
    }

    @Test(arguments: commands.keys.sorted()) func aDataSetIsNotAModel(_ command: String) throws {
        expect(
            try run(command, "org/data"),
            failsWith: 1,
            mentioning: "org/data is a data set and not a model",
            "--type dataset"
        )
        expectNothingMade()
    }

    @Test func aModelIsNotADataSet() throws {
        expect(
            try BridgeProcess.run("hub", "ls", "org/name", "--type", "dataset", environment: server.variables),
            failsWith: 1,
            mentioning: "org/name is a model and not a data set"
        )
    }

    @Test func aRevisionMayStandApart() throws {
        let commands = [["org/name@main"], ["org/name", "--revision", "main"]]
        let found = try commands.map { command in
            try BridgeProcess(["hub", "download"] + command, environment: server.variables).wait()
        }
        #expect(found.allSatisfy { $0.status == 0 } && found[0].output == found[1].output, "\(found)")
        let twice = ["hub", "ls", "org/name@main", "--revision", "v1"]
        let both = try BridgeProcess(twice, environment: server.variables).wait()
        #expect(both.status == 64 && both.errors.contains("both contain a revision"), "\(both.errors)")
    }

    @Test func aModelIsNotAnAdapter() throws {
        expect(try run("adapter", "org/name"), failsWith: 64, mentioning: "org/name", "it has no supported adapter")
        expectNothingMade()
    }
}
