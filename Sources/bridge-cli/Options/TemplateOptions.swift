import ArgumentParser
import BridgeCore

/// What messages are processed with.
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
    func options() throws -> ProcessingOptions {
        var options = try dated.options()
        if panAndScan { options.panAndScan = PanAndScan() }
        return options
    }
}
