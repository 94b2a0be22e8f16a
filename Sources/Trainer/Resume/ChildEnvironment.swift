import Foundation

/// The environment of processes that a run starts.
enum ChildEnvironment {
    /// That of this process without the variables of ranks: a child is not a rank, and may start ranks of its own.
    static var withoutRanks: [String: String] {
        ProcessInfo.processInfo.environment.filter { name, _ in
            !["OMPI_", "PMIX_", "PMI_"].contains(where: name.hasPrefix)
        }
    }
}
