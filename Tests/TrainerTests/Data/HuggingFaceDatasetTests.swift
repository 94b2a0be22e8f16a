import BridgeCore
import Foundation
import JSONTree
import Parquet
import TestSupport
import Testing

@testable import Datasets
@testable import Trainer

/// The layouts are those of https://huggingface.co/docs/hub/datasets-data-files-configuration.
@Suite struct HuggingFaceDatasetTests {
    private let scratch: TemporaryDirectory

    init() throws { scratch = try TemporaryDirectory() }

    /// A directory with copies of the fixture of nine rows (`.parquet`), or of given text.
    private func directory(_ files: [String], texts: [String: String] = [:]) throws -> String {
        let root = scratch.url(UUID().uuidString)
        let fixture = URL(filePath: "\(Fixtures.root)/parquet/images.parquet")
        for file in files + texts.keys {
            let url = root.appending(path: file)
            try FileManager.default.createDirectory(
                at: url.deletingLastPathComponent(),
                withIntermediateDirectories: true
            )
            if let text = texts[file] {
                try Data(text.utf8).write(to: url)
            } else {
                try FileManager.default.copyItem(at: fixture, to: url)
            }
        }
        return root.path
    }

    @Test func shardsFollowOneAnother() throws {
        let path = try directory([
            "data/train-00001-of-00002.parquet", "data/train-00000-of-00002.parquet",
            "data/odd_one-00000-of-00001.parquet",
        ])
        let data = try HuggingFaceDataset(path)
        #expect(data.count == 18)
        #expect(data.config == "default")
        #expect(try data.row(at: 12).string("question") == "what is 3?")
        #expect(try data.row(at: 12).value("image")?["path"] == "3.png")
        #expect(try data.row(at: 12).location == "row 3 of \(path)/data/train-00001-of-00002.parquet")
        #expect(try HuggingFaceDataset(path, split: "odd_one").count == 9)
        #expect(throws: BridgeError.self) { try data.row(at: 18) }
        let error = #expect(throws: BridgeError.self) { try HuggingFaceDataset(path, split: "test") }
        #expect(error?.names == ["odd_one", "train"])
    }

    @Test func theHeadOfTheReadmeChooses() throws {
        let readme = """
            ---
            license: mit
            configs:
            - config_name: small
              data_files:
              - split: train
                path: small/tr*.parquet
              - split: held
                path:
                - "**/other.parquet"
            - config_name: large
              default: true
              data_files: "large/*"
            ---
            # Words
            """
        let path = try directory(
            [
                "small/tr1.parquet", "small/tr2.parquet", "small/a/other.parquet", "large/x.parquet",
                "large/deep/y.parquet",
            ],
            texts: ["README.md": readme]
        )
        #expect(try HuggingFaceDataset(path).config == "large")
        #expect(try HuggingFaceDataset(path).count == 9)
        #expect(try HuggingFaceDataset(path, config: "small").count == 18)
        #expect(try HuggingFaceDataset(path, config: "small", split: "held").count == 9)
        let error = #expect(throws: BridgeError.self) { try HuggingFaceDataset(path, config: "huge") }
        #expect(error?.names == ["small", "large"])
    }

    @Test func directoriesAreConfigurationsAndSplits() throws {
        let path = try directory(["english/train/0000.parquet", "english/test/0000.parquet", "french/val-1.parquet"])
        #expect(try HuggingFaceDataset(path, config: "english", split: "test").count == 9)
        #expect(try HuggingFaceDataset(path, config: "french", split: "validation").count == 9)
        let error = #expect(throws: BridgeError.self) { try HuggingFaceDataset(path) }
        #expect(error?.names == ["english", "french"])
        let plain = try directory(["train/a.parquet", "dev/b.parquet"], texts: ["notes.json": "[1]"])
        #expect(try HuggingFaceDataset(plain, split: "validation").count == 9)
    }

    @Test func jsonRowsAreRows() throws {
        // More digits than a Double has.
        let number = "2.500000000000000000001"
        let lines = "{\"n\": 1, \"t\": [\"a\", null]}\n\n{\"n\": \(number), \"flag\": true}\n"
        let path = try directory([], texts: ["train.jsonl": lines, "test.json": #"[{"n": 7}]"#])
        let data = try HuggingFaceDataset(path)
        #expect(data.count == 2)
        #expect(try data.row(at: 1).value("n")?.text(pretty: false) == Array(number.utf8))
        #expect(try data.row(at: 0).value("t") == ["a", .null])
        #expect(try data.row(at: 1).columns == ["n", "flag"])
        #expect(try data.row(at: 1).value("flag") == true && data.row(at: 1).value("t") == nil)
        #expect(try HuggingFaceDataset(path, split: "test").row(at: 0).value("n") == 7)
        let bad = try HuggingFaceDataset(try directory([], texts: ["train.jsonl": "{\"n\": 1}\n[2]\n{"]))
        #expect(throws: BridgeError.self) { try bad.row(at: 1) }
        #expect(throws: BridgeError.self) { try bad.row(at: 2) }
    }

    @Test func aHubIdIsFoundInTheCache() throws {
        let base = "hub/datasets--some--thing"
        let commit = String(repeating: "0a1b2", count: 8)
        let cache = try directory(
            ["\(base)/snapshots/\(commit)/data/train-00000-of-00001.parquet"],
            texts: ["\(base)/refs/main": commit]
        )
        let hub = Hub(environment: HubEnvironment(variables: ["HF_HOME": cache, "HF_HUB_OFFLINE": "1"]))
        #expect(try HuggingFaceDataset("some/thing", hub: hub).count == 9)
        #expect(try HuggingFaceDataset("some/thing@\(commit)", hub: hub).count == 9)
        for name in ["some/other", "some/thing@other", "../thing", "some/thing@..", "a/b/c", ""] {
            #expect(throws: BridgeError.self) { try HuggingFaceDataset(name, hub: hub) }
        }
    }

    @Test func aDamagedFileAndAnEmptyDirectoryAreNamed() throws {
        let path = try directory([], texts: ["train.parquet": "PAR1 this is no table PAR1"])
        let error = #expect(throws: BridgeError.self) { try HuggingFaceDataset(path) }
        #expect(error?.message.hasPrefix("\(path)/train.parquet is not a readable Parquet file") == true)
        #expect(throws: BridgeError.self) { try HuggingFaceDataset(try directory([], texts: ["a.txt": "x"])) }
        let deep = "---\nconfigs: " + String(repeating: "[", count: 5000) + "\n---\n"
        #expect(throws: BridgeError.self) {
            try HuggingFaceDataset(try directory(["a.parquet"], texts: ["README.md": deep]))
        }
    }
}
