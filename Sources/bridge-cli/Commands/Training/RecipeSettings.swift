import ArgumentParser
import BridgeCore
import JSONTree

extension Recipes {
    /// Lists the settings of a recipe.
    struct Settings: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "List the settings of a recipe: default, values and meaning.",
            discussion: """
                A prefix filters the list: a section such as 'optimizer', or the beginning of a name. The defaults are those \
                of a new recipe; 'bridge recipes show NAME' prints the values of a recommended one.

                EXAMPLES:
                  bridge recipes settings
                  bridge recipes settings peft
                  bridge recipes settings train.eval --json
                """
        )

        @Argument(help: ArgumentHelp("Prefix of the names.", valueName: "prefix"))
        var prefix = ""

        @OptionGroup var output: OutputOptions

        func run() throws {
            let fields = try RecipeTable.fields(beginningWith: prefix)
            let plain = Recipe(name: "")
            if output.json {
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

        /// A value in the spelling of the command line.
        private static func text(_ value: JSON) -> String {
            if let text = value.string, !text.isEmpty { return text }
            return value.compactText
        }
    }
}
