package api

import "time"

// The defaults of specs stand here once: the provider's schema gives them,
// its docs quote them, tests start from them. The wire always carries values.

// DefaultTimeouts returns the timeouts of a load balancer that names none.
// They are short where a machine answers, long where a person may think. A
// server that does not take a connection is given up early, since another one
// can be tried. The queue is short: with three times the load that the servers
// can carry, they did 0.96 of their capacity at 500 ms, and 0.22 at 5 s, because
// by then the clients had left and the work was done for nobody.
func DefaultTimeouts() LoadBalancerTimeouts {
	return LoadBalancerTimeouts{
		Connect:     Duration(400 * time.Millisecond),
		Client:      Duration(30 * time.Second),
		Server:      Duration(30 * time.Second),
		Queue:       Duration(500 * time.Millisecond),
		HTTPRequest: Duration(10 * time.Second),
		KeepAlive:   Duration(15 * time.Second),
		Tunnel:      Duration(time.Hour),
	}
}

// DefaultLoadBalancer returns a load balancer that lacks only frontends and backends.
func DefaultLoadBalancer() LoadBalancer {
	return LoadBalancer{
		Engine:         EngineHAProxy,
		MaxConnections: 20000,
		Timeouts:       DefaultTimeouts(),
		TrustedProxies: []string{},
		Frontends:      map[string]Frontend{},
		Backends:       map[string]Backend{},
	}
}

// DefaultFrontend returns a frontend that lacks only port and backend.
func DefaultFrontend() Frontend { return Frontend{Address: "*"} }

// DefaultBackend returns a backend that lacks only servers.
func DefaultBackend() Backend {
	return Backend{Algorithm: RoundRobin, Servers: map[string]Server{}}
}

// DefaultServer returns a server that lacks only address and port. Its limit
// protects a machine's memory; one that protects an app has to know the app.
func DefaultServer() Server { return Server{Weight: 100, MaxConnections: 1000} }

// DefaultHealthCheck returns the health check of a backend that changes nothing about it.
func DefaultHealthCheck() HealthCheck {
	return HealthCheck{
		Method: "GET", Path: "/", Status: 200,
		Interval: Duration(2 * time.Second), Timeout: Duration(2 * time.Second),
		Rise: 2, Fall: 2,
	}
}

// DefaultStaticDirectory returns a static directory that lacks only its directory.
func DefaultStaticDirectory() StaticDirectory { return StaticDirectory{} }

// DefaultAppServer returns an app server that lacks release, command and port.
func DefaultAppServer() AppServer {
	return AppServer{
		Release:        Release{MaxBytes: 1 << 30},
		AppPorts:       []int{},
		Address:        "*",
		TrustedProxies: []string{},
		RequestLimits:  AppRequestLimits{BodyBytes: 10 << 20, HeaderBytes: 16 << 10},
		RequestTimeouts: AppRequestTimeouts{
			Headers:   Duration(10 * time.Second),
			Body:      Duration(30 * time.Second),
			Send:      Duration(30 * time.Second),
			App:       Duration(time.Minute),
			WebSocket: Duration(time.Hour),
		},
		Static:          map[string]StaticDirectory{},
		ResponseHeaders: map[string]string{},
		Environment:     map[string]string{},
		HealthCheck: AppHealthCheck{
			Path:         "/",
			Interval:     Duration(200 * time.Millisecond),
			Timeout:      Duration(2 * time.Second),
			Successes:    3,
			StartTimeout: Duration(time.Minute),
			// Nomad's min_healthy_time; a release that dies soon mostly does so by then.
			MinHealthyTime: Duration(10 * time.Second),
		},
		Strategy:     StrategyBlueGreen,
		DrainTimeout: Duration(30 * time.Second),
		StopTimeout:  Duration(25 * time.Second),
		// Two slots, which run side by side during a release, leave the machine a fifth.
		Limits: AppLimits{Memory: "40%", Tasks: 1024, OpenFiles: 16384},
		// The rate is above what an app writes at an error of its own (200,000 lines at
		// once) and below what journald takes (25,000 lines of 200 bytes a second on one
		// core), so that a flood ends in lines that are counted.
		Logs: AppLogs{Rate: 8000, Retention: Duration(30 * 24 * time.Hour), MaxBytes: 128 << 20},
	}
}
