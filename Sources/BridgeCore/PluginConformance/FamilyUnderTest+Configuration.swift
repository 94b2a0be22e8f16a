import BridgeCore
import JSONTree

// The rules of the configuration table.
extension FamilyUnderTest {
    private var recipeConfigurations: [(name: String, json: JSON)] {
        [("tiny", bridge.toy.tiny)] + bridge.toy.realSizes.map { ($0.name, $0.configuration) }
    }

    func configurations() -> [ConformanceFinding] {
        recipeConfigurations.flatMap { name, json -> [ConformanceFinding] in
            var findings: [ConformanceFinding] = []
            let architecture = json["architectures"]?.array?.first?.string
            if !bridge.architectures.contains(architecture ?? "") {
                findings.append(
                    ConformanceFinding(
                        "the configuration \(name) of the toy recipe has the architecture \(architecture ?? "null"), expected one "
                            + "of \(bridge.architectures.joined(separator: ", "))"
                    )
                )
            }
            do { _ = try bridge.provider(configuration: json, name: "the configuration \(name)") } catch {
                let names = (error as? BridgeError)?.names ?? []
                let message = (error as? BridgeError)?.message ?? "\(error)"
                findings.append(ConformanceFinding(message + (names.isEmpty ? "" : ": \(Self.listed(names))")))
            }
            return findings
        }
    }

    func settings() throws -> [ConformanceFinding] {
        let table = bridge.configurationSettings
        let ofRecipe = recipeConfigurations.flatMap { name, json in
            table.unknownKeys(of: json).map { ("the configuration \(name)", $0) }
        }
        let ofFiles = try autoBridge.unknownSettings().flatMap { file in file.keys.map { (file.file, $0) } }
        let undecided = bridge.configuration.fields.enumerated().filter { $1.verdict == .undecided }.map {
            index,
            field in
            ConformanceFinding(
                "the draft does not decide whether the key changes a result, so that models with it are not run; read it with a Field "
                    + "and compute with it, or use Field.fixed or Field.noEffect",
                line: configurationLine(index, field)
            )
        }
        var seen: Set<String> = []
        return undecided
            + (ofRecipe + ofFiles).filter { seen.insert($0.1).inserted }.map { file, key in
                ConformanceFinding(
                    "\(file) has the key \(key), which has no verdict; read it with a Field, or give it one with Field.fixed or "
                        + "Field.noEffect"
                )
            }
    }

    func configurationRoundTrip() throws -> [ConformanceFinding] {
        let table = bridge.configuration
        var findings: [ConformanceFinding] = []
        for (name, json) in recipeConfigurations {
            let provider = try bridge.provider(configuration: json, name: name).provider
            if table.encode(provider, into: json).text() != json.text() {
                findings.append(
                    ConformanceFinding("the configuration \(name) changes when it is read and written without a change")
                )
            }
            let new = table.encode(provider)
            findings += try differences(
                try table.decode(new, name: "a new configuration").value,
                provider,
                "lost in a configuration that is written from nothing (\(name))"
            )
        }
        var base = bridge.toy.tiny
        base.set("kept", at: "a_key_that_nothing_reads")
        var changed = try provider
        changed.decoder.vocabSize += 1
        if table.encode(changed, into: base)["a_key_that_nothing_reads"] != "kept" {
            findings.append(ConformanceFinding("unknown keys are lost when a changed configuration is written"))
        }
        return findings
    }

    /// A violation for each line of the table whose values differ.
    private func differences(
        _ found: Bridge.Provider,
        _ expected: Bridge.Provider,
        _ what: String
    ) throws -> [ConformanceFinding] {
        guard found != expected else { return [] }
        let lines = bridge.configuration.fields.enumerated().filter { $1.value(found) != $1.value(expected) }
        guard !lines.isEmpty else { return [ConformanceFinding("a field that no line of the table has is \(what)")] }
        return lines.map { index, field in
            let (one, other) = (field.value(expected), field.value(found))
            return ConformanceFinding(
                "\(one?.compactText ?? "null") becomes \(other?.compactText ?? "null"): the value is \(what)",
                line: configurationLine(index, field)
            )
        }
    }

    private func configurationLine(_ index: Int, _ field: Field<Bridge.Provider>) -> String {
        "configuration table, line \(index + 1) (\(field.paths.joined(separator: ", ")))"
    }

    func configurationKeys() throws -> [ConformanceFinding] {
        let (table, tiny) = (bridge.configuration, bridge.toy.tiny)
        let own = try table.decode(tiny, name: "the tiny configuration").value
        return table.fields.enumerated().flatMap { index, field -> [ConformanceFinding] in
            guard field.megatron != nil else { return [] }
            return field.paths.compactMap { path -> ConformanceFinding? in
                guard let value = tiny[path: path] else { return nil }
                let others = Self.otherValues(value)
                // A value that the table refuses shows nothing.
                let changes = others.compactMap { other -> (JSON, Bridge.Provider)? in
                    var json = tiny
                    json.set(other, at: path)
                    return (try? table.decode(json, name: "").value).map { (other, $0) }
                }
                guard let (other, changed) = changes.first else { return nil }
                let line = configurationLine(index, field)
                let change = "\(value.compactText) to \(other.compactText)"
                if changed == own {
                    return ConformanceFinding(
                        "the key \(path) is called honoured, but a change from \(change) does not reach the provider",
                        line: line
                    )
                }
                let written = table.encode(changed, into: tiny)
                guard (try? table.decode(written, name: "").value) != changed else { return nil }
                return ConformanceFinding(
                    "the key \(path) is lost: after a change from \(change) and writing, another value is read",
                    line: line
                )
            }
        }
    }

    /// Other values of the same kind; none for kinds without a neighbour.
    private static func otherValues(_ value: JSON) -> [JSON] {
        if let flag = value.bool { return [.bool(!flag)] }
        if let number = value.integer { return [JSON(number + 2), JSON(number * 2 + 2)] }
        if let number = value.double { return [JSON(number * 1.5 + 0.25)] }
        return []
    }
}
