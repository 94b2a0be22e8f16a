import ArgumentParser
import BridgeCore

/// The arguments of the chat template.
struct TemplateOptions: ParsableArguments {
    @Option(name: .long, parsing: .unconditional, help: ArgumentHelp("The system prompt.", valueName: "text"))
    var system: String?

    @Flag(
        name: .customLong("pan-and-scan"),
        help: "Add crops of elongated images (pan and scan, Gemma 3)."
    )
    var panAndScan = false

    @OptionGroup var dated: DateOptions

    func validate() throws {
        if system?.isEmpty ?? false {
            throw ValidationError("--system is empty; remove it to use the default system prompt of the template")
        }
    }

    /// The library's options.
    ///
    /// - Throws: `BridgeError` for pan-and-scan with a model that does not crop images.
    func options(for processor: any ModelProcessor) throws -> ProcessingOptions {
        var options = try dated.options(for: processor)
        if panAndScan {
            guard processor.cropsImages else {
                throw BridgeError(
                    .badArgument,
                    "--pan-and-scan has no effect: this model "
                        + (processor.imageTokens == nil ? "reads text only" : "does not crop images")
                        + "; remove the option"
                )
            }
            options.panAndScan = PanAndScan()
        }
        return options
    }
}
