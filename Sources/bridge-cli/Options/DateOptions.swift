import ArgumentParser
import BridgeCore
import Tokenizers

/// The options of processing messages that all commands have in common, such as the date.
struct DateOptions: ParsableArguments {
    @Option(
        name: .long,
        help: ArgumentHelp("Date for the chat template. (default: today)", valueName: "yyyy-mm-dd")
    )
    var date: String?

    func validate() throws {
        guard let date else { return }
        do throws(TemplateError) { _ = try ChatDate(date) } catch { throw ValidationError("--date: \(error.message)") }
    }

    /// The library's options, the same for training and generation.
    ///
    /// - Parameter processor: The model's processor; if its chat template does not use a date, `--date` has no effect.
    /// - Returns: The options.
    /// - Throws: The library's error for a text that is not a date.
    func options(for processor: any ModelProcessor) throws -> ProcessingOptions {
        if date != nil, !processor.writesDate {
            Output.warn("--date has no effect: the chat template of the model does not use a date")
        }
        var options = ProcessingOptions()
        options.cancellation = Interrupt.cancellation
        options.template.date = try date.map { try ChatDate($0) }
        options.template.fillsDatePlaceholders = true
        return options
    }
}
