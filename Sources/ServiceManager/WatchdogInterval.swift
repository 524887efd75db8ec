extension ServiceEnvironment {
    /// How often the service manager wants to hear that the service moves, or it ends it; nil if it does not.
    ///
    /// - Throws: `environment` for a time that is no number above 0.
    public var watchdogInterval: Duration? {
        get throws(ServiceManagerError) {
            guard let value = self["WATCHDOG_USEC"], isMeantForUs("WATCHDOG_PID") else { return nil }
            guard let microseconds = Int64(value), microseconds > 0 else {
                throw ServiceManagerError(
                    .environment,
                    "Cannot serve the watchdog: WATCHDOG_USEC is '\(value)', expected a number of microseconds above 0."
                )
            }
            return .microseconds(microseconds)
        }
    }
}
