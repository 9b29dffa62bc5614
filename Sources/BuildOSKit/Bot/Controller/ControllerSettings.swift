/// How controllers are spoken to; the defaults are those of bbot-agent(1) and of controllers (build2-facts, 2.1, 2.10).
public struct ControllerSettings: Sendable, Hashable {
    /// Time to establish a connection.
    public var connectTimeout: Duration = .seconds(60)
    /// Time for one request and its answer.
    public var requestTimeout: Duration = .seconds(300)
    /// How often what a controller must be told is tried again. A question for a task isn't: the agent asks again anyway,
    /// and a task whose answer got lost would be a second one.
    public var retries = 4
    /// The pauses between these.
    public var retryPauses = BackOff(first: .seconds(5), limit: .seconds(60))
    /// The pause after a round of questions that gave no task: this, and up to a fifth of it more by chance.
    public var pollPause: Duration = .seconds(50)
    /// Most bytes of a task request.
    public var maximumTaskRequestBytes = 102_400
    /// Most bytes of a result request.
    public var maximumResultRequestBytes = 15_728_640
    /// Most bytes of an upload.
    public var maximumUploadBytes: Int64 = 10 << 20
    /// Most bytes of an answer.
    public var maximumAnswerBytes = 1 << 20

    /// Creates settings.
    public init() {}
}
