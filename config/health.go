package config

import "time"

// HealthCheck says how a balancer's backends are probed. [Parse] fills in the defaults.
type HealthCheck struct {
	// Protocol is what the probe speaks.
	Protocol CheckProtocol `yaml:"protocol"`
	// Port is the port that is probed; the backend port of the first listener when zero. Refused for icmp.
	Port uint16 `yaml:"port,omitempty" range:"1..65535"`
	// Interval is the time from one probe of a backend to the next, 100ms-1h; 5s by default.
	Interval time.Duration `yaml:"interval,omitempty" range:"100ms..1h"`
	// Timeout is how long a probe waits for its answer, 10ms-1h and at most Interval; 2s by default, or Interval if that is less.
	Timeout time.Duration `yaml:"timeout,omitempty" range:"10ms..1h"`
	// Rise is how many good probes in a row make a backend healthy, 1-100; 2 by default.
	Rise int `yaml:"rise,omitempty" range:"1..100"`
	// Fall is how many bad probes in a row make a backend unhealthy, 1-100; 3 by default.
	Fall int `yaml:"fall,omitempty" range:"1..100"`
	// Path is what http and https ask for (origin-form, RFC 9112 section 3.2.1); / by default. Refused for the others.
	Path string `yaml:"path,omitempty"`
	// Statuses are the answers of http and https that count as good, 100-599; [200] by default. Refused for the others.
	Statuses []int `yaml:"statuses,omitempty" range:"100..599" entries:"some"`
	// Send is the payload that a tcp or udp probe sends, 1-1024 bytes; required for udp, which has no handshake.
	Send string `yaml:"send,omitempty"`
	// Expect is what the answer to a tcp or udp probe starts with, 1-1024 bytes; any answer is good when empty.
	Expect string `yaml:"expect,omitempty"`
	// PanicThreshold is a percentage, 0-100: when fewer of the backends are healthy, all are treated as healthy, since
	// traffic for a sick backend is better than all of it on the few that are left. 0, the default, never does that.
	PanicThreshold int `yaml:"panicThreshold,omitempty" range:"0..100"`
}

// CheckProtocol is what a health check speaks.
type CheckProtocol string

// The protocols of health checks.
const (
	CheckTCP   CheckProtocol = "tcp"
	CheckHTTP  CheckProtocol = "http"
	CheckHTTPS CheckProtocol = "https"
	CheckUDP   CheckProtocol = "udp"
	CheckICMP  CheckProtocol = "icmp"
)

// hasPath reports whether the protocol asks for a path and is answered with a status.
func (p CheckProtocol) hasPath() bool { return p == CheckHTTP || p == CheckHTTPS }

// hasPayload reports whether the protocol carries the operator's own bytes.
func (p CheckProtocol) hasPayload() bool { return p == CheckTCP || p == CheckUDP }
