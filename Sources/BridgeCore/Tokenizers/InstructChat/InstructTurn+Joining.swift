extension InstructTurn {
    /// The conversation with messages of one role that follow each other joined, as the normalizers of mistral-common do it.
    ///
    /// - Returns: The turns, and for v3, which has no turns of the system, the joined system prompt.
    static func joined(
        _ turns: [InstructTurn],
        for version: InstructChat.Version
    ) throws(TokenizerError) -> (turns: [InstructTurn], systemPrompt: String?) {
        var result: [InstructTurn] = []
        var callIDs: [String] = []
        var rest = turns[...]
        while let first = rest.first {
            let run = Array(rest.prefix { $0.role == first.role })
            rest = rest.dropFirst(run.count)
            switch first.role {
            case .user: result.append(InstructTurn(role: .user, content: joined(run.map(\.content))))
            case .assistant:
                var turn = InstructTurn(role: .assistant, content: joined(run.map(\.content)))
                turn.calls = run.flatMap(\.calls)
                guard version > .v3 || turn.calls.isEmpty || turn.content?.isEmpty != false else {
                    throw InstructCheck.refusal(
                        "messages of the assistant that follow each other hold a text and tool calls, expected one of them"
                    )
                }
                guard version == .v3 || !turn.calls.isEmpty || turn.content?.isEmpty == false else {
                    throw InstructCheck.refusal("a message of the assistant has neither a text nor tool calls")
                }
                callIDs += turn.calls.map(\.id)
                result.append(turn)
            case .tool:
                result += sorted(run.map { $0.withOneText(for: version) }, version >= .v11 ? callIDs : [])
                callIDs = []
            case .system:
                guard version > .v3 else { continue }
                result += run.map { InstructTurn(role: .system, content: joined([$0.content])) }
            }
        }
        guard version == .v3 else { return (result, nil) }
        if result.first?.role != .user { result.insert(InstructTurn(role: .user, content: .text("")), at: 0) }
        let prompts = turns.filter { $0.role == .system && $0.content?.isEmpty == false }.map { turn -> String in
            guard case .text(let text) = joined([turn.content]) else { return "" }
            return text
        }
        return (result, prompts.isEmpty ? nil : prompts.joined(separator: "\n\n"))
    }

    /// The contents as one: texts that follow each other are joined by an empty line, and a text alone is a text.
    private static func joined(_ contents: [Content?]) -> Content {
        var all: [Chunk] = []
        var text: String?
        func flush() {
            if let text { all.append(.text(text)) }
            text = nil
        }
        for content in contents {
            guard let content else { continue }
            let chunks: [Chunk] =
                switch content {
                case .text(let text): [.text(text)]
                case .chunks(let chunks): chunks
                }
            for chunk in chunks {
                if case .text(let piece) = chunk {
                    if !piece.isEmpty { text = text.map { $0 + "\n\n" + piece } ?? piece }
                } else {
                    flush()
                    all.append(chunk)
                }
            }
        }
        guard !all.isEmpty else { return .text(text ?? "") }
        flush()
        return .chunks(all)
    }

    /// A result with its parts as one text.
    private func withOneText(for version: InstructChat.Version) -> InstructTurn {
        var turn = self
        turn.content = Self.joined([content])
        return turn
    }

    /// Results in the order of the calls that they belong to, those of unknown calls at the end.
    private static func sorted(_ results: [InstructTurn], _ ids: [String]) -> [InstructTurn] {
        func place(_ turn: InstructTurn) -> Int { ids.lastIndex { $0 == turn.callID } ?? Int.max }
        return results.enumerated().sorted { (place($0.element), $0.offset) < (place($1.element), $1.offset) }.map(
            \.element
        )
    }
}
