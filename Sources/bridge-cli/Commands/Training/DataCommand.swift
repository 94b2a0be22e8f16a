import ArgumentParser

/// Prepares, shows and checks the samples of a run before it starts.
struct DataCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "data",
        abstract: "Prepare, show and check training data as tokens.",
        discussion: """
            EXAMPLES:
              bridge data prepare --hf-model toy --data train.jsonl --output prepared
              bridge data preview --hf-model toy --data train.jsonl --row 3
              bridge data check --hf-model toy --data train.jsonl --seq-length 2048
            """,
        subcommands: [DataPrepare.self, DataPreview.self, DataCheck.self]
    )
}
