/// The connection settings: proxies, certificates, timeouts.
public struct HTTPSettings: Sendable, Equatable {
    /// The proxy for `http://` addresses; nil for none.
    public var httpProxy: String?
    /// The proxy for `https://` addresses; nil for none.
    public var httpsProxy: String?
    /// Hosts that are reached without a proxy, separated by commas.
    public var noProxy: String?
    /// A file of certificates to trust; nil for the system's.
    public var certificates: String?
    /// A directory of certificates to trust; nil for the system's.
    public var certificateDirectory: String?
    /// The longest that a connection may take, in seconds.
    public var connectSeconds = 10.0
    /// The longest that nothing may come or go, in seconds.
    public var idleSeconds = 10.0
    /// The fewest bytes per second that may come or go, as a mean over ``leastRateSeconds``.
    public var leastBytesPerSecond = 100
    /// The longest time in seconds that a transfer may be slower than that; ``idleSeconds`` if that is more.
    public var leastRateSeconds = 60.0

    /// Settings from variables of an environment: `HTTP_PROXY`, `HTTPS_PROXY`, `ALL_PROXY` and `NO_PROXY`, of which the
    /// spelling in small letters goes first, and `SSL_CERT_FILE` and `SSL_CERT_DIR`.
    public init(variables: [String: String] = [:]) {
        func value(_ names: String...) -> String? {
            names.compactMap { variables[$0] }.first { !$0.isEmpty }
        }
        let everywhere = value("all_proxy", "ALL_PROXY")
        httpProxy = value("http_proxy", "HTTP_PROXY") ?? everywhere
        httpsProxy = value("https_proxy", "HTTPS_PROXY") ?? everywhere
        noProxy = value("no_proxy", "NO_PROXY")
        certificates = value("SSL_CERT_FILE")
        certificateDirectory = value("SSL_CERT_DIR")
    }

    /// The proxy for an address.
    package func proxy(for address: String) -> String? {
        address.lowercased().hasPrefix("https:") ? httpsProxy : httpProxy
    }
}
