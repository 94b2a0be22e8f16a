package import TorchFiles

/// The groups of parameters of an optimizer and the state of its schedule, as Megatron-Core stores them in the common
/// state.
///
/// A group has settings and no parameters: Megatron-Core finds it again by its multipliers and rates, and which parameters
/// are in it follows from the model. Source: `param_group_identifier_keys` in megatron/core/optimizer/optimizer.py, and
/// optimizer_param_scheduler.py, megatron-core 0.16 to 0.19.
package struct OptimizerGroups: Sendable, Equatable {
    /// A setting.
    package struct Setting: Sendable, Equatable {
        package var name: String
        package var value: Value

        package init(_ name: String, _ value: Value) {
            self.name = name
            self.value = value
        }
    }

    /// The value of a setting.
    package enum Value: Sendable, Equatable {
        case single(PickleValue)
        /// Several numbers, such as the decay rates of Adam.
        case tuple([PickleValue])
    }

    /// The settings of each group.
    package var groups: [[Setting]]
    /// The state of the schedule; empty without one.
    package var scheduler: [Setting]
    /// The names of settings that were found and are neither numbers nor texts.
    package var skipped: [String] = []

    package init(groups: [[Setting]], scheduler: [Setting] = []) {
        self.groups = groups
        self.scheduler = scheduler
    }

    /// The number of steps that the optimizer has made; nil where no group has it.
    package var steps: Int? {
        for case .single(let value) in groups.joined().filter({ $0.name == Self.step }).map(\.value) {
            switch value {
            case .integer(let number) where number >= 0: return number
            case .real(let number) where number >= 0 && number < 0x1p53: return Int(number)
            default: continue
            }
        }
        return nil
    }

    /// Gives all groups the number of steps, for an optimizer that stored it beside them.
    package mutating func setSteps(_ steps: Int) {
        for index in groups.indices {
            groups[index].removeAll { $0.name == Self.step }
            groups[index].append(Setting(Self.step, .single(.integer(steps))))
        }
    }

    package static let step = "step"
    /// The keys of the common state, of which the first holds another dictionary with the same key.
    private static let (optimizer, list, schedule) = ("optimizer", "param_groups", "opt_param_scheduler")
    /// What a group has only in memory.
    private static let parameters = "params"
    /// More groups than any optimizer has, and more settings than any group.
    private static let most = 1 << 10
}

// MARK: - Writing

extension OptimizerGroups {
    /// The entries of the common state.
    ///
    /// - Parameter graph: The graph that they are added to.
    /// - Returns: Keys and values.
    func entries(in graph: inout PickleGraph) -> [(String, PickleValue)] {
        let groups = groups.map { graph.dictionary(of: $0) }
        let list = graph.add(.list(groups))
        let inner = graph.dictionary([(Self.list, list)])
        let state = graph.dictionary([
            (Self.optimizer, inner), ("param_state_sharding_type", .text(CommonState.shardingType)),
        ])
        guard !scheduler.isEmpty else { return [(Self.optimizer, state)] }
        return [(Self.optimizer, state), (Self.schedule, graph.dictionary(of: scheduler))]
    }
}

extension PickleGraph {
    fileprivate mutating func dictionary(of settings: [OptimizerGroups.Setting]) -> PickleValue {
        var pairs: [(String, PickleValue)] = []
        for setting in settings {
            switch setting.value {
            case .single(let value): pairs.append((setting.name, value))
            case .tuple(let values): pairs.append((setting.name, tuple(values)))
            }
        }
        return dictionary(pairs)
    }
}

// MARK: - Reading

extension OptimizerGroups {
    /// The groups in a common state; nil for one without.
    ///
    /// - Parameter state: The dictionary of the common state.
    package init?(_ state: PickleGraph.Reference) {
        guard let list = state[Self.optimizer]?[Self.optimizer]?[Self.list]?.items, list.count <= Self.most else {
            return nil
        }
        var skipped: Set<String> = []
        func settings(_ value: PickleGraph.Reference) -> [Setting] {
            guard let pairs = value.pairs, pairs.count <= Self.most else { return [] }
            var found: [Setting] = []
            for (key, value) in pairs {
                guard let key = key.text, key != Self.parameters else { continue }
                if let value = value.setting { found.append(Setting(key, value)) } else { skipped.insert(key) }
            }
            return found
        }
        groups = list.map(settings)
        scheduler = state[Self.schedule].map(settings) ?? []
        self.skipped = skipped.sorted()
    }
}

extension TorchDistDirectory {
    /// The groups of the optimizer; nil for a checkpoint without one.
    ///
    /// An optimizer that is not distributed has its steps in a tensor beside them.
    ///
    /// - Throws: `BridgeError` for a damaged file.
    package func optimizerGroups() throws -> OptimizerGroups? {
        guard let archive = try common(), let state = try commonState(), var groups = OptimizerGroups(state) else {
            return nil
        }
        let key = "common_step"
        if groups.steps == nil, let value = state["optimizer"]?["optimizer"]?["state"]?[key],
            let number = try archive.scalar(value, named: key), number >= 0, number < 0x1p53
        {
            groups.setSteps(Int(number))
        }
        return groups
    }
}

extension PickleGraph.Reference {
    /// A number, a truth value, a text or nothing, or a few of them.
    fileprivate var setting: OptimizerGroups.Value? {
        if node == nil { return value.isSmall ? .single(value) : nil }
        guard let items, items.count <= 8, items.allSatisfy({ $0.node == nil && $0.value.isSmall }) else { return nil }
        return .tuple(items.map(\.value))
    }
}

extension PickleValue {
    fileprivate var isSmall: Bool {
        switch self {
        case .none, .bool, .integer, .real: true
        case .text(let text): text.utf8.count <= 256
        case .longInteger, .bytes, .node: false
        }
    }
}
