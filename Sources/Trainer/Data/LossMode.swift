/// Which tokens of a conversation are learnt.
public enum LossMode: String, Sendable, CaseIterable {
    /// What the assistant says, with the token that ends its turn.
    case assistant
    /// The last thing that the assistant says.
    case lastTurn = "last_turn"
    /// Everything but images.
    case full
}
