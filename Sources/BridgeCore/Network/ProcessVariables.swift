import CSystem

/// The variables of the process's environment.
///
/// The core reads them here and nowhere else, for what every program that uses the hub shares by convention: where the
/// cache is, the token, proxies and certificates. Everything takes them as a parameter too.
package enum ProcessVariables {
    /// The variables by name.
    package static var all: [String: String] {
        var variables: [String: String] = [:]
        guard var next = csys_environment() else { return variables }
        while let line = next.pointee {
            let pair = String(cString: line).split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            if pair.count == 2 { variables[String(pair[0])] = String(pair[1]) }
            next += 1
        }
        return variables
    }
}

extension HTTPSettings {
    /// The settings that the process's environment asks for.
    package static var process: HTTPSettings { HTTPSettings(variables: ProcessVariables.all) }
}
