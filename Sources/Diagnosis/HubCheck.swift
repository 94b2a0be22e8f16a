import BridgeCore
import JSONTree

/// Access to the hub, with one request.
struct HubCheck {
    let hub: Hub
    /// The longest wait for the response, in seconds.
    let seconds: Double

    func run() -> Finding {
        let environment = hub.environment
        let token = environment.token == nil ? "no token" : "a token"
        let facts: JSON = [
            "endpoint": .string(environment.endpoint), "has_token": .bool(environment.token != nil),
            "is_offline": .bool(environment.isOffline),
        ]
        guard !environment.isOffline else {
            return Finding(.ok, "HF_HUB_OFFLINE forbids requests; \(token)", facts: facts)
        }
        let access: Hub.Access
        do { access = try hub.access(atMost: seconds) } catch let error as BridgeError {
            // Everything but downloads works without a hub.
            return Finding(error.code == .network ? .warning : .failed, error.message, facts: facts)
        } catch {
            return Finding(.failed, "\(error)", facts: facts)
        }
        var finding = Finding(
            .ok,
            "\(environment.endpoint) responds after \(ByteFormat.rounded(access.seconds, digits: 2)) s; \(token)",
            facts: facts
        )
        finding.facts.set(JSON(access.status), at: "status")
        finding.facts.set(JSON(access.seconds), at: "seconds")
        if access.refusesToken {
            finding.text += ", which is refused"
            finding.lower(to: .warning, advice: "log in again with 'hf auth login', or set HF_TOKEN to a valid token")
        } else if access.status >= 500 {
            finding.text += "; the status of the response is \(access.status)"
            finding.lower(to: .warning, advice: "try again later, or check HF_ENDPOINT and the proxy")
        }
        return finding
    }
}
