import ArgumentParser
import BridgeCore
import Tokenizers

/// What messages are processed with.
struct TemplateOptions: ParsableArguments {
    @Option(name: .long, parsing: .unconditional, help: ArgumentHelp("The system prompt.", valueName: "text"))
    var system: String?

    @Flag(
        name: .customLong("pan-and-scan"),
        help: "Look at long pictures in pieces too, for models that do that (Gemma 3)."
    )
    var panAndScan = false

    @Option(
        name: .long,
        help: ArgumentHelp("The date that the template writes, instead of today's.", valueName: "yyyy-mm-dd")
    )
    var date: String?

    func validate() throws {
        if system?.isEmpty ?? false {
            throw ValidationError("--system is empty; leave it out for the template's own system prompt, or for none")
        }
        guard let date else { return }
        do throws(TokenizerError) { _ = try ChatDate(date) } catch { throw ValidationError("--date: \(error.message)") }
    }

    /// The library's options.
    func options() throws -> ProcessingOptions {
        var options = ProcessingOptions()
        options.cancellation = Interrupt.cancellation
        options.template.date = try date.map { try ChatDate($0) }
        options.template.fillsDatePlaceholders = true
        if panAndScan { options.panAndScan = PanAndScan() }
        return options
    }
}
