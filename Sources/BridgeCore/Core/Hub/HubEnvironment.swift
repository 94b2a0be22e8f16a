/// Where the hub is, where its cache is, and who asks: what the variables of an environment say.
///
/// The variables and what they mean are those of the Python package `huggingface_hub` (2.4), so that both share one cache
/// and one login: https://huggingface.co/docs/huggingface_hub/package_reference/environment_variables
public struct HubEnvironment: Sendable {
    /// The hub's address, without a slash at its end; `HF_ENDPOINT`.
    public var endpoint: String
    /// The folder with everything of the hub's; `HF_HOME`, or `huggingface` in `XDG_CACHE_HOME` or `~/.cache`.
    public var home: String
    /// The folder with the repositories that were downloaded; `HF_HUB_CACHE`, or `hub` in ``home``.
    public var cache: String
    /// Who asks: `HF_TOKEN`, or what was stored by a login; nil for nobody.
    public var token: HubToken?
    /// Whether nothing may be asked; `HF_HUB_OFFLINE`.
    public var isOffline: Bool
    /// The longest that a question about a repository may wait, in seconds; `HF_HUB_ETAG_TIMEOUT`.
    public var questionSeconds: Double
    /// How servers are reached, with `HF_HUB_DOWNLOAD_TIMEOUT` as the longest that nothing may come.
    public var http: HTTPSettings

    /// The hub as variables describe it.
    ///
    /// - Parameter variables: The variables by name; a stored token is read from the place that they name.
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
        endpoint = address
        home = path(value("HF_HOME") ?? Files.join(value("XDG_CACHE_HOME") ?? "~/.cache", "huggingface"))
        cache = path(value("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE") ?? Files.join(home, "hub"))
        isOffline = isTrue("HF_HUB_OFFLINE") || (value("HF_HUB_OFFLINE") == nil && isTrue("TRANSFORMERS_OFFLINE"))
        questionSeconds = seconds("HF_HUB_ETAG_TIMEOUT")
        http = HTTPSettings(variables: variables)
        http.idleSeconds = seconds("HF_HUB_DOWNLOAD_TIMEOUT")
        let given = value("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN").flatMap { HubToken($0) }
        let place = path(value("HF_TOKEN_PATH") ?? Files.join(home, "token"))
        // A token that was stored is sent unasked, which this variable forbids; one that is given is meant.
        let stored =
            isTrue("HF_HUB_DISABLE_IMPLICIT_TOKEN")
            ? nil
            : (try? Files.contents(of: place, limit: 4096)).flatMap { HubToken(String(decoding: $0, as: UTF8.self)) }
        token = given ?? stored
    }

    /// The hub as the process's own environment describes it.
    public static var process: HubEnvironment { HubEnvironment(variables: ProcessVariables.all) }

    /// A path with `~` at its start and `$NAME` or `${NAME}` anywhere replaced; what names nothing stays.
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

/// A secret that tells the hub who asks.
///
/// It is never printed.
public struct HubToken: Sendable, CustomStringConvertible, CustomReflectable {
    /// What is sent.
    let value: String

    /// A token; nil for an empty text and for one that no header can carry.
    public init?(_ text: String) {
        value = text.trimmed
        guard !value.isEmpty, !value.utf8.contains(where: { $0 <= 32 || $0 >= 127 }) else { return nil }
    }

    /// That there is one, and no more.
    public var description: String { "a token" }
    /// Nothing to look into.
    public var customMirror: Mirror { Mirror(self, children: []) }
}
