public import BridgeCore
import Foundation
import JSONTree
public import Logging

/// Sends a run to an MLflow server over its REST interface.
///
/// The requests are those of `mlflow/protos/service.proto`. Metrics are sent in the background, at most every two seconds. A resumed run
/// continues the same run there, whose id is kept beside the log.
public final class MLflowTracker: TrainerCallback {
    /// The file with the id of the run, in `logger.log_dir`.
    public static let fileName = "mlflow_run.json"

    /// The limits of one request, and of the values in it.
    static let (mostMetrics, mostParameters, longestValue) = (1000, 100, 250)

    /// The server, from the settings and the environment.
    public struct Server: Sendable {
        /// Its address.
        public var address: String
        /// The value of the header `Authorization`; nil for none.
        public var authorization: String?

        /// A server.
        ///
        /// - Parameters:
        ///   - section: The settings.
        ///   - environment: `MLFLOW_TRACKING_URI`, and `MLFLOW_TRACKING_TOKEN` or `MLFLOW_TRACKING_USERNAME` and
        ///     `MLFLOW_TRACKING_PASSWORD`.
        /// - Throws: `BridgeError` without an address, and for one that is not http:// or https://.
        public init(_ section: Recipe.LoggerSection, environment: [String: String]) throws {
            func variable(_ name: String) -> String? { environment[name].flatMap { $0.isEmpty ? nil : $0 } }
            let isSetting = !section.mlflowTrackingURI.isEmpty
            let key = isSetting ? "logger.mlflow_tracking_uri" : "MLFLOW_TRACKING_URI"
            guard let address = isSetting ? section.mlflowTrackingURI : variable("MLFLOW_TRACKING_URI") else {
                throw BridgeError(
                    .badArgument,
                    "logger.mlflow_experiment is \(section.mlflowExperiment), and there is no server; set logger.mlflow_tracking_uri or "
                        + "MLFLOW_TRACKING_URI to its address, such as http://localhost:5000"
                )
            }
            let scheme = address.lowercased().prefix { $0 != "/" }
            guard ["http:", "https:"].contains(scheme) else {
                throw BridgeError(
                    .badArgument,
                    "\(key) is \(address), expected the address of a server, http:// or https://; 'mlflow server' starts one"
                )
            }
            guard !address.split(separator: "/").dropFirst().prefix(1).contains(where: { $0.contains("@") }) else {
                throw BridgeError(
                    .badArgument,
                    "\(key) has a name or a password before its host; set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD instead"
                )
            }
            self.address = address
            if let name = variable("MLFLOW_TRACKING_USERNAME"), let password = variable("MLFLOW_TRACKING_PASSWORD") {
                authorization = "Basic " + Data("\(name):\(password)".utf8).base64EncodedString()
            } else {
                authorization = variable("MLFLOW_TRACKING_TOKEN").map { "Bearer \($0)" }
            }
        }
    }

    private let section: Recipe.LoggerSection
    private let address: String
    private let service: JSONService
    private let logger: Logger
    private var run: String?
    private var metrics: [JSON] = []
    /// The request in progress, and its values.
    private var sending: BackgroundTask?
    private var pending: [JSON] = []
    private var sent = ContinuousClock.now
    /// Whether the last request has failed.
    private var isInterrupted = false

    /// The time between two requests with metrics.
    private static let interval = Duration.seconds(2)
    /// The time between two requests to a server that is down.
    private static let pause = Duration.seconds(60)
    /// The largest number of values that are kept meanwhile.
    private static let mostKept = 200_000

    /// A tracker.
    ///
    /// - Parameters:
    ///   - section: The settings; `mlflowExperiment` is not empty.
    ///   - server: The server.
    ///   - settings: Proxies, certificates and timeouts; nil for those of the environment.
    ///   - retryPolicy: How often a request is retried.
    ///   - logger: Receives the address of the run.
    public init(
        _ section: Recipe.LoggerSection,
        server: Server,
        settings: HTTPSettings? = nil,
        retryPolicy: RetryPolicy = RetryPolicy(attempts: 4),
        logger: Logger
    ) {
        (self.section, self.logger, address) = (section, logger, server.address)
        service = JSONService(
            server.address,
            name: "MLflow",
            authorization: server.authorization,
            settings: settings,
            retryPolicy: retryPolicy,
            logger: logger
        )
    }

    /// Starts a run with all settings as parameters, or continues that of the log.
    ///
    /// - Throws: `BridgeError` for a server that is not reached or takes no run.
    public func onTrainStart(_ run: RunMetadata, after iteration: Int) throws {
        let experiment = try self.experiment()
        let id = try iteration > 0 ? continued(experiment) ?? created(run, experiment) : created(run, experiment)
        self.run = id
        try Files.createDirectory(section.logDir)
        let row: JSON = ["run_id": .string(id), "experiment_id": .string(experiment)]
        try Files.replace(Files.join(section.logDir, Self.fileName), with: row.text() + [10])
        logger.notice("MLflow: \(address)/#/experiments/\(experiment)/runs/\(id)")
    }

    /// Sends a step.
    public func onStepEnd(_ step: StepRecord) throws { try add(step.scalars, step.iteration) }

    /// Sends a validation.
    public func onEvaluate(_ validation: ValidationRecord) throws { try add(validation.scalars, validation.iteration) }

    /// Sends what is left, and the end of the run.
    public func onTrainEnd(_ result: Result<Trainer.Outcome, any Error>) throws {
        guard let run else { return }
        let status =
            switch result {
            case .success(let outcome) where outcome.end == .interrupted: "KILLED"
            case .success: "FINISHED"
            case .failure: "FAILED"
            }
        if let task = sending {
            sending = nil
            do {
                try task.wait()
                pending = []
            } catch { try keep(after: error) }
        }
        try Self.send(metrics, of: run, to: service)
        metrics = []
        _ = try Self.request(
            service,
            "runs/update",
            ["run_id": .string(run), "status": .string(status), "end_time": JSON(Self.now)]
        )
    }

    // MARK: Metrics

    private func add(_ scalars: [(tag: String, value: Double)], _ iteration: Int) throws {
        guard let run else { return }
        let time = JSON(Self.now)
        metrics += scalars.map { tag, value in
            ["key": .string(Self.key(tag)), "value": Self.number(value), "timestamp": time, "step": JSON(iteration)]
        }
        if let task = sending {
            do {
                guard try task.wait(atMost: .zero) else { return }
                (pending, isInterrupted) = ([], false)
            } catch { try keep(after: error) }
            sending = nil
        }
        let age = ContinuousClock.now - sent
        guard isInterrupted ? age >= Self.pause : metrics.count >= Self.mostMetrics || age >= Self.interval else {
            return
        }
        let (batch, service) = (metrics, service)
        (pending, metrics, sent) = (metrics, [], .now)
        sending = BackgroundTask { try Self.send(batch, of: run, to: service) }
    }

    /// Keeps the values of a request that has failed, for a later one: the server may be down for a while.
    private func keep(after error: any Error) throws {
        let isTransient = (error as? BridgeError)?.code == .network
        guard isTransient, pending.count + metrics.count <= Self.mostKept else { throw error }
        (metrics, pending) = (pending + metrics, [])
        if !isInterrupted {
            logger.warning(
                "\((error as? BridgeError)?.message ?? "\(error)"); training continues, and the values are sent later"
            )
        }
        isInterrupted = true
    }

    private static func send(_ metrics: [JSON], of run: String, to service: JSONService) throws {
        for start in stride(from: 0, to: metrics.count, by: mostMetrics) {
            let batch = Array(metrics[start..<min(start + mostMetrics, metrics.count)])
            _ = try request(service, "runs/log-batch", ["run_id": .string(run), "metrics": .array(batch)])
        }
    }

    /// A tag with the characters that a name of MLflow may have: letters, digits and `_-. :/`.
    static func key(_ tag: String) -> String {
        String(
            tag.map { $0.isASCII && ($0.isLetter || $0.isNumber || "_-. :/".contains($0)) ? $0 : "_" }.prefix(
                longestValue
            )
        )
    }

    /// A number of JSON, which has none that is not finite.
    private static func number(_ value: Double) -> JSON {
        value.isFinite ? JSON(value) : value.isNaN ? "NaN" : value > 0 ? "Infinity" : "-Infinity"
    }

    /// Milliseconds since 1970.
    private static var now: Int { Int(Date.now.timeIntervalSince1970 * 1000) }

    // MARK: The run

    private func experiment() throws -> String {
        let name = section.mlflowExperiment
        func found() throws -> String? {
            let query = name.addingPercentEncoding(withAllowedCharacters: .alphanumerics) ?? name
            let path = "experiments/get-by-name?experiment_name=\(query)"
            guard let body = try Self.request(service, path, nil, missing: ["RESOURCE_DOES_NOT_EXIST"]) else {
                return nil
            }
            guard body[path: "experiment.lifecycle_stage"]?.string != "deleted" else {
                throw BridgeError(
                    .badArgument,
                    "logger.mlflow_experiment is \(name), which is deleted on the server; restore it, or name another one"
                )
            }
            return try Self.text(body, "experiment.experiment_id")
        }
        if let id = try found() { return id }
        // Another run may create it at the same time.
        let body = try Self.request(
            service,
            "experiments/create",
            ["name": .string(name)],
            isRepeatable: false,
            missing: ["RESOURCE_ALREADY_EXISTS"]
        )
        if let body { return try Self.text(body, "experiment_id") }
        guard let id = try found() else { throw Self.unexpected("an experiment that exists and is not found") }
        return id
    }

    private func created(_ run: RunMetadata, _ experiment: String) throws -> String {
        var body: JSON = [
            "experiment_id": .string(experiment), "start_time": JSON(Self.now),
            "tags": [
                ["key": "mlflow.source.name", "value": "bridge train"],
                ["key": "mlflow.user", "value": .string(NSUserName())],
            ],
        ]
        if !section.mlflowRunName.isEmpty { body.set(.string(section.mlflowRunName), at: "run_name") }
        let id = try Self.text(
            Self.request(service, "runs/create", body, isRepeatable: false) ?? .null,
            "run.info.run_id"
        )
        let parameters = Self.parameters(run.configuration)
        for start in stride(from: 0, to: parameters.count, by: Self.mostParameters) {
            let batch = parameters[start..<min(start + Self.mostParameters, parameters.count)].map {
                key,
                value -> JSON in
                ["key": .string(key), "value": .string(value)]
            }
            _ = try Self.request(service, "runs/log-batch", ["run_id": .string(id), "params": .array(batch)])
        }
        return id
    }

    /// The run of the log, if the server has it; nil otherwise.
    private func continued(_ experiment: String) throws -> String? {
        let file = try? JSON(contentsOf: Files.join(section.logDir, Self.fileName))
        guard let file, file["experiment_id"]?.string == experiment, let id = file["run_id"]?.string else { return nil }
        let body: JSON = ["run_id": .string(id), "status": "RUNNING"]
        let known = ["RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"]
        return try Self.request(service, "runs/update", body, missing: known) == nil ? nil : id
    }

    /// Names with dots and values of all settings; a value that is too long is cut.
    static func parameters(_ configuration: JSON) -> [(key: String, value: String)] {
        var found: [(key: String, value: String)] = []
        func collect(_ json: JSON, _ path: String) {
            if let members = json.object, !members.isEmpty {
                for member in members { collect(member.value, path.isEmpty ? member.key : "\(path).\(member.key)") }
            } else if !path.isEmpty {
                let text = json.string ?? json.compactText
                let value = text.count > longestValue ? text.prefix(longestValue - 1) + "…" : text
                found.append((key(path), value))
            }
        }
        collect(configuration, "")
        return found
    }

    // MARK: Requests

    private static let root = "/api/2.0/mlflow/"

    /// A request whose failure is an error, except for some codes, for which it returns nil.
    private static func request(
        _ service: JSONService,
        _ path: String,
        _ body: JSON?,
        isRepeatable: Bool = true,
        missing: [String] = []
    ) throws -> JSON? {
        let response = try service.send(body == nil ? "GET" : "POST", root + path, body, isRepeatable: isRepeatable)
        if (200..<300).contains(response.status) { return response.body }
        let code = response.body["error_code"]?.string ?? ""
        if missing.contains(code) { return nil }
        let reason = response.body["message"]?.string.map { ": \($0)" } ?? ""
        let advice =
            switch response.status {
            case 401, 403: "; check MLFLOW_TRACKING_TOKEN, or MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD"
            case 404 where code.isEmpty: "; check that the address is that of an MLflow server"
            default: ""
            }
        let name = path.prefix { $0 != "?" }
        // What the server refuses, it refuses again.
        let isFinal = (400..<500).contains(response.status) && ![408, 425, 429].contains(response.status)
        throw BridgeError(
            isFinal ? .badConfiguration : .network,
            "MLflow responds to \(name) with status \(response.status)\(reason)\(advice)"
        )
    }

    private static func text(_ body: JSON, _ path: String) throws -> String {
        guard let text = body[path: path]?.string else { throw unexpected("no \(path)") }
        return text
    }

    private static func unexpected(_ what: String) -> BridgeError {
        BridgeError(.network, "the response of MLflow has \(what); check that the address is that of an MLflow server")
    }
}
