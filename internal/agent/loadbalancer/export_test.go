package loadbalancer

// RunChecker is for the tests on machines.
var RunChecker = runChecker //nolint:gochecknoglobals // in tests alone
