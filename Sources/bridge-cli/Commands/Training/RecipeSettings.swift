import ArgumentParser
import BridgeCore
import JSONTree

extension Recipes {
    /// What can be set, and what it means.
    struct Settings: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "List the settings of a recipe: default, values and meaning.",
            discussion: """
                A prefix narrows the list: a section such as 'optimizer', or the beginning of a name. The defaults are those of \
                a recipe without a name; 'bridge recipes show NAME' shows those of a recommended one.

                EXAMPLES:
                  bridge recipes settings
                  bridge recipes settings peft
                  bridge recipes settings train.eval --json
                """
        )

        @Argument(help: ArgumentHelp("How the names begin.", valueName: "prefix"))
        var prefix = ""

        @Flag(name: .long, help: "Print the result as JSON.")
        var json = false

        func run() throws {
            let fields = try RecipeTable.fields(beginningWith: prefix)
            let plain = Recipe(name: "")
            if json {
                return Output.json(
                    .array(
                        fields.map { field in
                            [
                                "name": .string(field.key), "aliases": .array(field.aliases.map { .string($0) }),
                                "default": field.value(of: plain), "values": .string(field.expectation),
                                "meaning": .string(field.meaning),
                            ]
                        }
                    )
                )
            }
            Output.table(
                [["SETTING", "DEFAULT", "VALUES", "MEANING"]]
                    + fields.map { [$0.key, Self.text($0.value(of: plain)), $0.expectation, $0.meaning] }
            )
        }

        /// As somebody would type it.
        private static func text(_ value: JSON) -> String {
            if let text = value.string, !text.isEmpty { return text }
            return String(decoding: value.text(pretty: false), as: UTF8.self)
        }
    }
}
