import Foundation
import JSONTree
import TestSupport
import Testing

/// Numbers from outside that no integer holds.
@Suite struct LargeNumberTests {
    private let bench: TrainBench

    init() throws { bench = try TrainBench() }

    private static let numbers = ["1e19", "-1e19", "9223372036854775807", "9223372036854775808", "1e308", "nan", "inf"]

    @Test func noSettingEndsTheProgram() throws {
        let listed = try BridgeProcess.run("recipes", "settings", "--json")
        let settings = try JSON(parsing: Array(listed.output.utf8)).array ?? []
        let keys = settings.filter { $0["values"]?.string?.contains("number") ?? false }.compactMap {
            $0["name"]?.string
        }
        #expect(keys.count > 30)
        for key in keys {
            for number in Self.numbers {
                let run = bench.arguments("run", "peft.scheme=lora", "peft.dim=4", "\(key)=\(number)")
                let outcome = try BridgeProcess(run + ["--dry-run"]).wait()
                #expect(outcome.signal == nil, "\(key)=\(number): \(outcome.errors.suffix(500))")
            }
        }
    }

    @Test(arguments: ["1e19", "1e300", "-1e19", "4611686018427387904"]) func anAlphaIsSavedAndReadAgain(_ alpha: String)
        throws
    {
        let settings = ["peft.scheme=lora", "peft.dim=4", "peft.alpha=\(alpha)", "train.train_iters=2"]
        let outcome = try BridgeProcess(bench.arguments("run") + settings).wait()
        #expect(outcome.signal == nil, "\(outcome.errors)")
        guard outcome.status == 0 else { return }
        let file = bench.scratch.url("run/iter_0000002/adapter_config.json")
        let json = try JSON(parsing: [UInt8](Data(contentsOf: file)))
        #expect(json["lora_alpha"]?.double == Double(alpha))
    }

    @Test func noNumberOfAModelsFilesEndsTheProgram() throws {
        let toy = bench.scratch.url("toy")
        for name in ["config.json", "generation_config.json", "tokenizer_config.json", "model.safetensors.index.json"] {
            let file = toy.appendingPathComponent(name)
            guard let text = try? Data(contentsOf: file) else { continue }
            let keys = try JSON(parsing: Array(text)).object?.filter {
                if case .number = $0.value { true } else { false }
            }
            for key in keys?.map(\.key) ?? [] {
                for number in ["1e19", "-1e19", "9223372036854775807", "1e400"] {
                    var json = try JSON(parsing: Array(text))
                    json.set(.string("NUMBER"), at: key)
                    let changed = String(decoding: json.text(), as: UTF8.self).replacing("\"NUMBER\"", with: number)
                    try Data(changed.utf8).write(to: file)
                    let arguments = ["generate", "--hf-model", toy.path, "--prompt", "a", "--max-new-tokens", "1"]
                    let outcome = try BridgeProcess(arguments).wait()
                    #expect(outcome.signal == nil, "\(name) \(key)=\(number): \(outcome.errors.suffix(500))")
                }
            }
            try text.write(to: file)
        }
    }
}
