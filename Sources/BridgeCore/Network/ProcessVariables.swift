import CSystem

/// The variables of the process's environment.
///
/// The core reads them in this file only, for the settings that programs with the hub share by convention: the path of
/// the cache, the token, proxies and certificates. All of them can also be passed as parameters.
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
    /// The settings in the process's environment.
    package static var process: HTTPSettings { HTTPSettings(variables: ProcessVariables.all) }
}
