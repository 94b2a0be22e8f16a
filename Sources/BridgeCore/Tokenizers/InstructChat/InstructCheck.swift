/// The rules of a version of the framing, as in the validators of mistral-common 1.13.
struct InstructCheck {
    let version: InstructChat.Version
    /// Whether a generation prompt is requested; a conversation for training may end with the assistant's message.
    let asksForAnswer: Bool
    let continuesLast: Bool

    static func refusal(_ sentence: String) -> TokenizerError { TokenizerError(.templateRefusal, sentence) }

    /// Checks a conversation.
    func run(_ turns: [InstructTurn]) throws(TokenizerError) {
        guard let last = turns.last else {
            throw Self.refusal("the conversation is empty; it needs at least one message")
        }
        if turns.count == 1, last.role != .user, last.role != .system {
            throw Self.refusal("the conversation starts with the role \(last.role.rawValue), expected user or system")
        }
        if asksForAnswer, last.role == .assistant {
            throw Self.refusal("the last message is the assistant's, expected a message of the user or of a tool")
        }
        if continuesLast, last.role != .assistant {
            throw Self.refusal("the last message is to be continued and is not the assistant's")
        }
        try checkOrder(turns)
        if version < .v11 { try checkResultCounts(turns) } else { try checkResultIDs(turns) }
        for (index, turn) in turns.enumerated() { try check(turn, index, isLast: index == turns.count - 1) }
    }

    private func checkOrder(_ turns: [InstructTurn]) throws(TokenizerError) {
        for (previous, turn) in zip(turns, turns.dropFirst()) {
            let isAllowed =
                switch (previous.role, turn.role) {
                case (.system, .tool), (.user, .tool), (.assistant, .system), (.tool, .system): false
                default: true
                }
            guard isAllowed else {
                throw Self.refusal(
                    "a message of the role \(turn.role.rawValue) follows one of the role \(previous.role.rawValue)"
                )
            }
        }
    }

    /// Each assistant message with calls is followed by as many results, before the next assistant message.
    private func checkResultCounts(_ turns: [InstructTurn]) throws(TokenizerError) {
        var expected = 0
        for turn in turns.dropFirst() {
            if turn.role == .tool { expected -= 1 }
            guard turn.role == .assistant else { continue }
            guard expected == 0 else {
                throw Self.refusal("a message of the assistant comes before each of its tool calls has one result")
            }
            expected = turn.calls.count
        }
    }

    /// The same by the ids of the calls.
    private func checkResultIDs(_ turns: [InstructTurn]) throws(TokenizerError) {
        var (expected, seen): (Set<String>, Set<String>) = ([], [])
        for turn in turns.dropFirst() {
            if turn.role == .tool {
                let id = turn.callID ?? ""
                guard expected.contains(id), seen.insert(id).inserted else {
                    throw Self.refusal(
                        "a result has the tool_call_id '\(id)', which is not that of a call without a result"
                    )
                }
            }
            guard turn.role == .assistant else { continue }
            guard expected.count == seen.count else {
                throw Self.refusal("a message of the assistant comes before each of its tool calls has one result")
            }
            (expected, seen) = ([], [])
            for call in turn.calls where !expected.insert(call.id).inserted {
                throw Self.refusal("two tool calls of one message have the id '\(call.id)'")
            }
        }
    }

    private func check(_ turn: InstructTurn, _ index: Int, isLast: Bool) throws(TokenizerError) {
        let position = "message \(index + 1)"
        try checkChunks(turn, position)
        switch turn.role {
        case .system, .user: break
        case .assistant:
            // Later versions look at what messages that follow each other hold together.
            let holdsText = turn.content?.isEmpty == false
            guard version > .v3 || holdsText != !turn.calls.isEmpty else {
                throw Self.refusal(
                    "\(position) of the assistant has \(holdsText ? "both a text and" : "neither a text nor") tool calls, "
                        + "expected one of them"
                )
            }
            for call in turn.calls {
                try checkID(call.id, position, isOptional: isLast && !asksForAnswer)
                try Self.checkName(call.name, of: "a tool call of \(position)")
            }
        case .tool:
            if let name = turn.name { try Self.checkName(name, of: position) }
            try checkID(turn.callID, position, isOptional: false)
        }
    }

    private func checkChunks(_ turn: InstructTurn, _ position: String) throws(TokenizerError) {
        guard case .chunks(let chunks)? = turn.content else { return }
        for chunk in chunks {
            let (isAllowed, what) =
                switch chunk {
                case .text: (true, "text")
                case .image: (turn.role == .user, "an image")
                case .thinking:
                    (turn.role == .assistant && version >= .v11 || turn.role == .system && version >= .v7, "thinking")
                }
            guard isAllowed else {
                throw Self.refusal(
                    "\(position) of the role \(turn.role.rawValue) holds \(what), which v\(version.rawValue) does not allow"
                )
            }
        }
    }

    private func checkID(_ id: String?, _ position: String, isOptional: Bool) throws(TokenizerError) {
        guard version < .v13 else {
            guard let id, !id.isEmpty, id != "null" else {
                throw Self.refusal("a tool call or a result in \(position) has no id, which v13 needs")
            }
            return
        }
        if isOptional, id == "null" { return }
        let isPlain = id?.utf8.allSatisfy(Self.isLetterOrDigit) ?? false
        guard let id, isPlain, id.utf8.count == 9 else {
            throw Self.refusal(
                "a tool call or a result in \(position) has the id '\(id ?? "null")', expected nine letters and digits"
            )
        }
    }

    /// Checks the name of a function.
    static func checkName(_ name: String, of owner: String) throws(TokenizerError) {
        let isPlain = name.utf8.allSatisfy { isLetterOrDigit($0) || $0 == UInt8(ascii: "_") || $0 == UInt8(ascii: "-") }
        guard isPlain, (1...64).contains(name.utf8.count) else {
            throw refusal("\(owner) has the name '\(name)', expected 1 to 64 letters, digits, _ and -")
        }
    }

    private static func isLetterOrDigit(_ byte: UInt8) -> Bool {
        (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(byte) || (UInt8(ascii: "A")...UInt8(ascii: "Z")).contains(byte)
            || (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte)
    }
}
