import ArgumentParser
import BridgeCore

/// A tiny model to try everything with.
struct Toy: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Make a complete Hugging Face folder with random weights."
    )
    func run() throws {}
}
