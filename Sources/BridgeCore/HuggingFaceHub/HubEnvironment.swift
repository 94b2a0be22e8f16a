import BridgeSupport
public import Network
import Tokenizers

/// The address of the hub, the path of its cache and the credentials, from environment variables.
///
/// The variables have the meaning that the Python package `huggingface_hub` (2.4) gives them, so that both share one
/// cache and one login: https://huggingface.co/docs/huggingface_hub/package_reference/environment_variables
public struct HubEnvironment: Sendable {
    /// The hub's address without a trailing slash and without a name and password; `HF_ENDPOINT`.
    public var endpoint: String
    /// The name and password in the hub's address, as `name:password`; sent when there is no token.
    var login: HubToken?
    /// The directory of all Hugging Face data; `HF_HOME`, or `huggingface` in `XDG_CACHE_HOME` or `~/.cache`.
    public var home: String
    /// The directory of downloaded repositories; `HF_HUB_CACHE`, or `hub` in ``home``.
    public var cache: String
    /// The token: `HF_TOKEN`, or the one stored by a login; nil for anonymous requests.
    public var token: HubToken?
    /// Whether requests are forbidden; `HF_HUB_OFFLINE`.
    public var isOffline: Bool
    /// The timeout of a metadata request, in seconds; `HF_HUB_ETAG_TIMEOUT`.
    public var requestTimeout: Double
    /// HTTP settings, with `HF_HUB_DOWNLOAD_TIMEOUT` as the longest time without data.
    public var http: HTTPSettings
    /// The source of an invalid token; nil when the token is valid.
    private var badToken: String?

    /// The settings in variables.
    ///
    /// - Parameter variables: The variables by name; a stored token is read from the path that they specify.
    public init(variables: [String: String]) {
        func value(_ names: String...) -> String? { names.compactMap { variables[$0] }.first { !$0.isEmpty } }
        func path(_ text: String) -> String { Self.expanded(text, variables) }
        func isTrue(_ name: String) -> Bool {
            ["1", "ON", "YES", "TRUE"].contains(variables[name]?.uppercased() ?? "")
        }
        func seconds(_ name: String) -> Double {
            value(name).flatMap { Double($0) }.flatMap { $0 > 0 ? $0 : nil } ?? 10
        }

        var address = value("HF_ENDPOINT") ?? "https://huggingface.co"
        while address.hasSuffix("/") { address.removeLast() }
        (endpoint, login) = Self.split(address)
        home = path(value("HF_HOME") ?? Files.join(value("XDG_CACHE_HOME") ?? "~/.cache", "huggingface"))
        cache = path(value("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE") ?? Files.join(home, "hub"))
        isOffline = isTrue("HF_HUB_OFFLINE") || (value("HF_HUB_OFFLINE") == nil && isTrue("TRANSFORMERS_OFFLINE"))
        requestTimeout = seconds("HF_HUB_ETAG_TIMEOUT")
        http = HTTPSettings(variables: variables)
        http.idleSeconds = seconds("HF_HUB_DOWNLOAD_TIMEOUT")
        let location = path(value("HF_TOKEN_PATH") ?? Files.join(home, "token"))
        let given = value("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN").flatMap { $0.trimmed.isEmpty ? nil : $0 }
        // A stored token is sent implicitly, which this variable forbids; a token in HF_TOKEN is explicit.
        let stored =
            given != nil || isTrue("HF_HUB_DISABLE_IMPLICIT_TOKEN")
            ? nil : (try? Files.contents(of: location, limit: 4096)).map { String(decoding: $0, as: UTF8.self) }
        token = (given ?? stored).flatMap { HubToken($0) }
        if let text = given ?? stored, !text.trimmed.isEmpty, token == nil {
            badToken = given == nil ? "the token in \(location)" : "HF_TOKEN"
        }
    }

    /// Validates the endpoint URL and the token.
    ///
    /// - Throws: `BridgeError` for an address without a host, and for a token with invalid characters.
    func check() throws {
        let origin = WebURL.origin(of: endpoint)
        let hasHost = origin.hasPrefix("http://") || origin.hasPrefix("https://")
        let host = origin.drop { $0 != "/" }.dropFirst(2)
        guard hasHost, !host.isEmpty, !host.hasPrefix(":"), !endpoint.utf8.contains(where: { $0 <= 32 || $0 == 127 })
        else {
            throw BridgeError(
                .network,
                "HF_ENDPOINT is '\(WebURL.shown(endpoint))', expected http:// or https:// and the name of a host; "
                    + "check HF_ENDPOINT, or unset it to use https://huggingface.co"
            )
        }
        if let badToken {
            throw BridgeError(
                .network,
                "\(badToken) has characters that are not valid in a token, such as a space or a line break in the middle; copy it again "
                    + "from \(endpoint)/settings/tokens, or unset it"
            )
        }
    }

    /// The value of the `Authorization` header; nil for anonymous requests.
    var authorization: String? {
        if let token { return "Bearer \(token.value)" }
        return login.map { "Basic \(Base64.encode(Array($0.value.utf8)))" }
    }

    /// An address without the name and password in it, and these.
    private static func split(_ address: String) -> (String, HubToken?) {
        let scheme = address.firstRange(of: "://")?.upperBound ?? address.startIndex
        let host = address[scheme...].prefix { !"/?#".contains($0) }
        guard let at = host.lastIndex(of: "@") else { return (address, nil) }
        let login = WebURL.unescaped(String(host[..<at]))
        return (String(address[..<scheme]) + address[address.index(after: at)...], HubToken(login))
    }

    /// The hub as the process's environment describes it.
    public static var process: HubEnvironment { HubEnvironment(variables: ProcessVariables.all) }

    /// A path with `~` at its start and `$NAME` or `${NAME}` expanded; unknown variables are kept.
    private static func expanded(_ path: String, _ variables: [String: String]) -> String {
        var path = path
        if path == "~" || path.hasPrefix("~/"), let home = variables["HOME"] { path = home + path.dropFirst() }
        var result = ""
        var rest = path[...]
        while let dollar = rest.firstIndex(of: "$") {
            result += rest[..<dollar]
            rest = rest[rest.index(after: dollar)...]
            let isBraced = rest.first == "{" && rest.contains("}")
            let name =
                isBraced
                ? rest.dropFirst().prefix { $0 != "}" } : rest.prefix { $0.isLetter || $0.isNumber || $0 == "_" }
            let whole = isBraced ? rest[rest.startIndex..<rest.index(after: name.endIndex)] : name
            result += variables[String(name)] ?? "$" + whole
            rest = rest[whole.endIndex...]
        }
        return result + rest
    }
}

/// A secret that authenticates requests.
///
/// It is never printed.
public struct HubToken: Sendable, CustomStringConvertible, CustomReflectable {
    /// The token.
    let value: String

    /// A token; nil for an empty text and for one with characters that a header cannot contain.
    public init?(_ text: String) {
        value = text.trimmed
        guard !value.isEmpty, !value.utf8.contains(where: { $0 <= 32 || $0 >= 127 }) else { return nil }
    }

    /// A description that does not contain the token.
    public var description: String { "a token" }
    /// A mirror without children.
    public var customMirror: Mirror { Mirror(self, children: []) }
}
