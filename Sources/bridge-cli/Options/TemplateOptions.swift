import ArgumentParser
import BridgeCore

/// What messages are processed with.
struct TemplateOptions: ParsableArguments {
    @Option(name: .long, parsing: .unconditional, help: ArgumentHelp("The system prompt.", valueName: "text"))
    var system: String?

    @Flag(
        name: .customLong("pan-and-scan"),
        help: "Also encode crops of long images (Gemma 3)."
    )
    var panAndScan = false

    @OptionGroup var dated: DateOptions

    func validate() throws {
        if system?.isEmpty ?? false {
            throw ValidationError("--system is empty; leave it out for the template's own system prompt, or for none")
        }
    }

    /// The library's options.
    func options() throws -> ProcessingOptions {
        var options = try dated.options()
        if panAndScan { options.panAndScan = PanAndScan() }
        return options
    }
}
