import ArgumentParser
import BridgeCore
import Tokenizers

/// The date that chat templates write, and everything else that is the same wherever messages are processed.
struct DateOptions: ParsableArguments {
    @Option(
        name: .long,
        help: ArgumentHelp("The date that the template writes, instead of today's.", valueName: "yyyy-mm-dd")
    )
    var date: String?

    func validate() throws {
        guard let date else { return }
        do throws(TemplateError) { _ = try ChatDate(date) } catch { throw ValidationError("--date: \(error.message)") }
    }

    /// The library's options: what is supervised looks like what is asked.
    ///
    /// - Parameter processor: The model's processor, whose chat template may write no date: then `--date` has no effect.
    /// - Returns: The options.
    /// - Throws: What the library throws for a date that is none.
    func options(for processor: any ModelProcessor) throws -> ProcessingOptions {
        if date != nil, !processor.writesDate {
            Output.warn("--date has no effect: the chat template of the model writes no date")
        }
        var options = ProcessingOptions()
        options.cancellation = Interrupt.cancellation
        options.template.date = try date.map { try ChatDate($0) }
        options.template.fillsDatePlaceholders = true
        return options
    }
}
