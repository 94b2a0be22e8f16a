import BridgeCore
import Foundation
import JSONTree
import TestSupport
import Testing

/// `bridge process` writes what a model is given, for comparisons with other programs.
@Suite struct ProcessCommandTests {
    private func checkpoint(_ name: String) -> String { Fixtures.checkpoint(name) }

    private var image: String { "\(Fixtures.root)/images/rgb.png" }

    @Test func helpDoesNotListIt() throws {
        let help = try BridgeProcess.run("--help").output
        #expect(!help.split(separator: "\n").contains { $0.drop { $0 == " " }.hasPrefix("process ") })
        #expect(try BridgeProcess.run("process", "--help").output.contains("EXAMPLES:"))
    }

    @Test func aPromptWithAnImageBecomesTensors() throws {
        let scratch = try TemporaryDirectory()
        let arguments = ["process", "prompt", checkpoint("gemma3"), "--prompt", "What?", "--image", image]
        let outcome = try BridgeProcess(arguments + ["--output", scratch.path("in.safetensors")]).wait()
        #expect(outcome.status == 0, "\(outcome.errors)")
        let file = try SafetensorsFile(path: scratch.path("in.safetensors"))
        let shapes = Dictionary(uniqueKeysWithValues: file.header.entries.map { ($0.name, $0.shape) })
        #expect(shapes["pixel_values"] == [1, 3, 32, 32] && shapes["image_sizes"] == [1, 2])
        let printed = try JSON(parsing: Array(BridgeProcess(arguments).wait().output.utf8))
        let ids = try #require(printed["input_ids"]?.array)
        #expect(shapes["input_ids"] == [1, ids.count])
        // Token 640 is the soft token of which an image has 16.
        #expect(ids.count { $0.integer == 640 } == 16)
        #expect(printed["prompt"]?.string?.contains("<start_of_image>What?") == true)
    }

    @Test func stringsBecomeListsOfIDs() throws {
        let scratch = try TemporaryDirectory()
        try Data(#"["", "<s>", "\u0000é"]"#.utf8).write(to: scratch.url("strings.json"))
        let outcome = try BridgeProcess.run("process", "strings", checkpoint("mistral"), scratch.path("strings.json"))
        let lists = try #require(try JSON(parsing: Array(outcome.output.utf8)).array)
        #expect(lists.count == 3 && lists.allSatisfy { $0.array?.first?.integer == 1 })
        #expect(lists[0] == [1] && lists[1] == [1, 1])
    }

    @Test func aRequestThatFailsLeavesTheOthers() throws {
        let scratch = try TemporaryDirectory()
        let requests = #"[{"text": "[IMG]"}, {"text": "a"}, {"messages": [{"role": "user", "content": "b"}]}, 3]"#
        try Data(requests.utf8).write(to: scratch.url("requests.json"))
        let outcome = try BridgeProcess.run(
            "process",
            "requests",
            checkpoint("ministral3"),
            scratch.path("requests.json"),
            scratch.path("out.safetensors")
        )
        #expect(outcome.status == 0, "\(outcome.errors)")
        let header = try SafetensorsFile(path: scratch.path("out.safetensors")).header
        #expect(header.entries.map(\.name) == ["1.input_ids", "2.input_ids"])
        #expect(header.metadata["0.error"]?.string?.contains("1 place") == true)
        #expect(header.metadata["1.prompt"] == "a")
        #expect(header.metadata["3.error"]?.string?.contains("expected a list of messages") == true)
    }

    @Test(arguments: [
        [], ["--prompt", "a", "--messages", "b"], ["--messages", "b", "--no-chat-template"],
        ["--prompt", "a", "--no-chat-template", "--system", "s"],
        ["--prompt", "a", "--date", "tomorrow"],
    ])
    func wrongUsageIsStatus64(_ arguments: [String]) throws {
        let outcome = try BridgeProcess(["process", "prompt", checkpoint("mistral")] + arguments).wait()
        #expect(outcome.status == 64, "\(outcome.errors)")
    }

    @Test func anImageThatIsNotThereIsOneSentence() throws {
        let model = checkpoint("gemma3")
        expect(
            try BridgeProcess.run("process", "prompt", model, "--prompt", "a", "--image", "none.png"),
            failsWith: 1,
            mentioning: "none.png",
            "does not exist"
        )
        expect(
            try BridgeProcess.run("process", "prompt", checkpoint("mistral"), "--prompt", "a", "--image", image),
            failsWith: 64,
            mentioning: "text-only"
        )
        let scratch = try TemporaryDirectory()
        try Data(#"[{"role": "user", "content": [{"type": "image"}]}]"#.utf8).write(to: scratch.url("chat.json"))
        expect(
            try BridgeProcess.run("process", "prompt", model, "--messages", scratch.path("chat.json")),
            failsWith: 4,
            mentioning: "chat.json: messages[0].content[0]"
        )
    }
}
