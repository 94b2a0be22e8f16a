import ArgumentParser
import JSONTree
import TestSupport
import Testing

@testable import bridge

/// The command line is read once: options get their main names, and what does not exist is found before anything else.
@Suite struct CommandWordsTests {
    private func words(_ line: String) -> CommandWords { CommandWords(line.split(separator: " ").map(String.init)) }

    @Test(arguments: [
        ("convert --hf_model_path a --megatron_model_path b", "convert --hf-model a --megatron-path b"),
        ("convert --hf-model-id=a --megatron-model-path=b", "convert --hf-model=a --megatron-path=b"),
        (
            "convert export --megatron-model-path a --hf_path b --torch_dtype float32",
            "convert export --megatron-path a --hf-path b --dtype float32"
        ),
        (
            "generate --hf_model_id a --prompt b --max_new_tokens 3 --image_path c",
            "generate --hf-model a --prompt b --max-new-tokens 3 --image c"
        ),
        ("tokenize --hf-model-path a --file b", "tokenize --hf-model a --file b"),
        (
            "reshard --megatron-model-path a --output b --tensor_model_parallel_size 2",
            "reshard --megatron-path a --output b --tp 2"
        ),
        ("data check --hf-model-path a --data b --seq_length 4", "data check --hf-model a --data b --seq-length 4"),
        ("evaluate --megatron_path a --data b --at_least 1", "evaluate --megatron-path a --data b --min-accuracy 1"),
        ("train --recipe a -tp 2 -ms=3 --min_lr 1", "train --recipe a -tp 2 -ms=3 --min-lr 1"),
        // Former names.
        ("evaluate --hf-model a --data b --show 1", "evaluate --hf-model a --data b --max-errors-shown 1"),
        (
            "convert import --hf-model a --megatron-path b --stage-layers 2,3",
            "convert import --hf-model a --megatron-path b --num-layers-per-stage 2,3"
        ),
        (
            "toy --family a --output b --layers 2 --hidden 8 --real-size 7b",
            "toy --family a --output b --num-layers 2 --hidden-size 8 --size 7b"
        ),
        (
            "generate --hf-model a --prompt b --raw --verbose-steps",
            "generate --hf-model a --prompt b --no-chat-template --print-logits"
        ),
    ])
    func otherSpellingsOfOptionsAreTheMainOnes(_ typed: String, _ expected: String) {
        #expect(words(typed).words == expected.split(separator: " ").map(String.init))
        #expect(words(typed).problem == nil)
    }

    @Test(arguments: [
        (
            "train --hf-model m --data a --data b",
            "--data is given twice, as a and b; to join data sets, give dataset.source=[a,b] instead"
        ),
        ("train -tp 2 --tensor-model-parallel-size=4", "--tp is given twice, as 2 and 4; give it once"),
        (
            "evaluate --hf-model m --data a --adapter b --adapter c",
            "--adapter is given twice, as b and c; give it once"
        ),
        ("train --hf-model m --data a --data a", nil), ("generate --image a --image b", nil),
    ]) func anOptionWithTwoValuesIsRefused(_ line: String, _ problem: String?) {
        #expect(words(line).problem == problem)
    }

    @Test func everyOptionOfEveryCommandCanBeWrittenWithUnderscores() {
        func check(_ command: any ParsableCommand.Type, _ path: [String]) {
            for child in command.configuration.subcommands { check(child, path + [child._commandName]) }
            guard command.configuration.subcommands.isEmpty else { return }
            for name in CommandOptions(command).names where name.contains("-") {
                let typed = path + ["--" + name.replacing("-", with: "_")]
                #expect(CommandWords(typed).words == path + ["--" + name])
            }
        }
        check(BridgeCommand.self, [])
    }

    @Test func argumentsAfterTheTerminatorAreUnchanged() {
        let typed = ["generate", "--hf-model", "a", "--prompt", "--max_new_tokens", "--stop", "--json"]
        #expect(CommandWords(typed).words == typed)
        #expect(!CommandWords(typed).mode.json)
        let inspect = ["inspect", "--", "--json"]
        #expect(CommandWords(inspect).words == inspect)
        #expect(!CommandWords(inspect).mode.json)
    }

    @Test func theModeIsReadFromFlagsAlone() {
        let typed = words("convert --hf-model a --megatron-path b --json --no_progress -v")
        #expect(typed.mode == OutputMode(json: true, allowsProgress: false, isVerbose: true))
        #expect(words("generate --hf-model a --nothing --prompt b --json").mode.json)
        #expect(words("models --json").mode.json)
        #expect(!words("tokenize --hf-model json --file b").mode.json)
    }

    @Test(arguments: [
        ("genrate", "'genrate' is not a command of 'bridge', did you mean 'generate'?"),
        ("zzzzzz", "'zzzzzz' is not a command of 'bridge'; 'bridge --help' lists them"),
        ("convert exprt --hf-path a", "'exprt' is not a command of 'bridge convert', did you mean 'export'?"),
        ("recipes lst", "'lst' is not a command of 'bridge recipes', did you mean 'list'?"),
        (
            "generate --modle a --top-k 3",
            "--modle is not an option of 'bridge generate'; 'bridge generate --help' lists the options"
        ),
        ("generate --promt a", "--promt is not an option of 'bridge generate', did you mean --prompt?"),
        (
            "generate --max-tokens 3",
            "--max-tokens is not an option of 'bridge generate', did you mean --max-new-tokens?"
        ),
        ("plugins nwe Sample", "'nwe' is not a command of 'bridge plugins', did you mean 'new'?"),
        ("convert --hf-modle a", "--hf-modle is not an option of 'bridge convert import', did you mean --hf-model?"),
        (
            "convert --megatron-model-pth a",
            "--megatron-model-pth is not an option of 'bridge convert import', did you mean --megatron-path?"
        ),
        (
            "convert --ep 2",
            "--ep is not an option of 'bridge convert import': models with experts are not supported; this command takes --tp (tensor parallelism) and --pp (pipeline parallelism)"
        ),
        (
            "reshard --context-parallel-size=2",
            "--context-parallel-size is not an option of 'bridge reshard': context parallelism is for training, with the setting model.context_parallel_size=N; this command takes --tp (tensor parallelism) and --pp (pipeline parallelism)"
        ),
        (
            "chat --cp 2",
            "--cp is not an option of 'bridge chat': context parallelism is for training, with the setting model.context_parallel_size=N"
        ),
        (
            "train --train.train_iters=3",
            "--train.train_iters is not an option of 'bridge train'; settings have no dashes: train.train_iters=VALUE"
        ),
        ("chat --hf-model a --json", "--json is not an option of 'bridge chat': it has no result to print as JSON"),
        ("models --strict", "--strict is not an option of 'bridge models': it does not read the settings of a model"),
        ("inspect a --threads 2", "--threads is not an option of 'bridge inspect': it does not start threads"),
        ("convert -tp 2", "-tp is not an option of 'bridge convert import', did you mean --tp?"),
    ])
    func whatDoesNotExistIsASentence(_ typed: String, _ expected: String) {
        #expect(words(typed).problem == expected)
    }

    @Test(arguments: [
        "", "--help", "-h", "--version", "help", "help convert", "convert --help --nothing", "convert help",
        "convert --hf-model a --megatron-path b --pp -1", "checkpoint list a", "process strings a b",
        "train --recipe a b=c",
    ])
    func theRestIsLeftToTheParser(_ typed: String) {
        #expect(words(typed).problem == nil)
        #expect(words(typed).words == typed.split(separator: " ").map(String.init))
    }

    @Test func anUnknownOptionIsReportedBeforeAWrongValue() throws {
        // --top-k without --temperature is refused by the command itself.
        let outcome = try BridgeProcess.run("generate", "--hf-model", "a", "--prompt", "b", "--top-k", "3", "--bogus")
        expect(outcome, failsWith: 64, mentioning: "--bogus", "Usage: bridge generate")
        let json = try BridgeProcess.run("inspect", "a", "--json", "--bogus")
        #expect(json.status == 64 && json.output.contains("--bogus is not an option"))
    }

    @Test func aPathNamedLikeAFlagDoesNotChangeTheOutput() throws {
        let outcome = try BridgeProcess.run("inspect", "--", "--json")
        #expect(outcome.status != 0 && outcome.output.isEmpty, "\(outcome.output)")
    }

    @Test func formerKeysOfJSONRepeatTheirValues() {
        let json: JSON = ["total": 3, "errors": [["prediction": "a"]]]
        let expected: JSON = ["total": 3, "errors": [["prediction": "a", "said": "a"]], "questions": 3]
        #expect(json.alsoUnder(["total": "questions", "prediction": "said"]) == expected)
    }
}
