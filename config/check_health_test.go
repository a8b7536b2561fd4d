package config

import (
	"testing"
)

// TestHealthChecksProblems breaks health checks in every way that is known.
func TestHealthChecksProblems(t *testing.T) {
	run(t, []problemTest{
		{
			name: "http",
			more: `    loadBalancers:
      - name: web
        address: 45.86.152.23
        listeners: [{protocol: tcp, port: 1}]
        healthCheck: {protocol: http, port: 80, interval: 1s, timeout: 500ms, rise: 1, fall: 5, path: /healthz?full=1, statuses: [200, 204], panicThreshold: 50}
`,
		},
		{
			name: "udp",
			more: `    loadBalancers:
      - name: web
        address: 45.86.152.23
        listeners: [{protocol: tcp, port: 1}]
        healthCheck: {protocol: udp, send: "\0ping", expect: pong}
`,
		},
		{
			name: "icmp",
			more: `    loadBalancers:
      - name: web
        address: 45.86.152.23
        listeners: [{protocol: tcp, port: 1}]
        healthCheck: {protocol: icmp}
`,
		},
		{
			name: "protocol unknown",
			more: `    loadBalancers:
      - name: web
        address: 45.86.152.23
        listeners: [{protocol: tcp, port: 1}]
        healthCheck: {protocol: grpc}
`,
			want: `14:33: "grpc": unknown value; use one of tcp, http, https, udp, icmp`,
		},
		{
			name: "protocol missing",
			more: `    loadBalancers:
      - name: web
        address: 45.86.152.23
        listeners: [{protocol: tcp, port: 1}]
        healthCheck: {interval: 5s}
`,
			want: `14:22: "{interval: 5s}": field protocol is missing; add protocol`,
		},
		{
			name: "udp without payload",
			more: `    loadBalancers:
      - name: web
        address: 45.86.152.23
        listeners: [{protocol: tcp, port: 1}]
        healthCheck: {protocol: udp}
`,
			want: `14:22: "{protocol: udp}": health check with udp has no payload to send; add send, a payload that a healthy backend answers`,
		},
		{
			name: "fields of other protocols with tcp",
			more: `    loadBalancers:
      - name: web
        address: 45.86.152.23
        listeners: [{protocol: tcp, port: 1}]
        healthCheck: {protocol: tcp, path: /, statuses: [200]}
`,
			want: `14:44: "/": a health check with tcp has no path; remove path or use another protocol
14:57: "[200]}": a health check with tcp has no statuses; remove statuses or use another protocol`,
		},
		{
			name: "fields of other protocols with icmp",
			more: `    loadBalancers:
      - name: web
        address: 45.86.152.23
        listeners: [{protocol: tcp, port: 1}]
        healthCheck: {protocol: icmp, port: 7, send: a, expect: b}
`,
			want: `14:45: "7": a health check with icmp has no port; remove port or use another protocol
14:54: "a": a health check with icmp has no send; remove send or use another protocol
14:65: "b": a health check with icmp has no expect; remove expect or use another protocol`,
		},
		{
			name: "fields of other protocols with https",
			more: `    loadBalancers:
      - name: web
        address: 45.86.152.23
        listeners: [{protocol: tcp, port: 1}]
        healthCheck: {protocol: https, send: a, expect: b}
`,
			want: `14:46: "a": a health check with https has no send; remove send or use another protocol
14:57: "b": a health check with https has no expect; remove expect or use another protocol`,
		},
		{
			name: "ranges",
			more: `    loadBalancers:
      - name: web
        address: 45.86.152.23
        listeners: [{protocol: tcp, port: 1}]
        healthCheck: {protocol: http, port: 70000, interval: 99ms, timeout: 2h, rise: 0, fall: 101, statuses: [99, 600], panicThreshold: 101}
`,
			want: `14:45: "70000": is out of range; use a number in 1-65535
14:62: "99ms": is out of range; use a duration in 100ms-1h
14:77: "2h": is out of range; use a duration in 10ms-1h
14:87: "0": is out of range; use a number in 1-100
14:96: "101": is out of range; use a number in 1-100
14:112: "99": is out of range; use a number in 100-599
14:116: "600": is out of range; use a number in 100-599
14:138: "101": is out of range; use a number in 0-100`,
		},
		{
			name: "no statuses",
			more: `    loadBalancers:
      - name: web
        address: 45.86.152.23
        listeners: [{protocol: tcp, port: 1}]
        healthCheck: {protocol: http, statuses: []}
`,
			want: `14:49: "[]}": statuses has no entries; add at least one`,
		},
		{
			name: "a status twice",
			more: `    loadBalancers:
      - name: web
        address: 45.86.152.23
        listeners: [{protocol: tcp, port: 1}]
        healthCheck: {protocol: http, statuses: [200, 204, 200]}
`,
			want: `14:60: "200": status is already in the list; remove one of the two`,
		},
		{
			name: "timeout longer than interval",
			more: `    loadBalancers:
      - name: web
        address: 45.86.152.23
        listeners: [{protocol: tcp, port: 1}]
        healthCheck: {protocol: tcp, interval: 1s, timeout: 3s}
`,
			want: `14:61: "3s": timeout is longer than the interval of 1s; use a shorter timeout or a longer interval`,
		},
		{
			name: "timeout longer than the default interval",
			more: `    loadBalancers:
      - name: web
        address: 45.86.152.23
        listeners: [{protocol: tcp, port: 1}]
        healthCheck: {protocol: tcp, timeout: 6s}
`,
			want: `14:47: "6s": timeout is longer than the interval of 5s; use a shorter timeout or a longer interval`,
		},
		{
			name: "interval refused",
			more: `    loadBalancers:
      - name: web
        address: 45.86.152.23
        listeners: [{protocol: tcp, port: 1}]
        healthCheck: {protocol: tcp, interval: soon, timeout: 6s}
`,
			want: `14:48: "soon": is not a duration; write numbers with units, like 90s, 5m or 2h4m`,
		},
		{
			name: "path relative",
			more: `    loadBalancers:
      - name: web
        address: 45.86.152.23
        listeners: [{protocol: tcp, port: 1}]
        healthCheck: {protocol: http, path: healthz}
`,
			want: `14:45: "healthz": is not a path; write it as in a request: begin with / and encode other characters with %`,
		},
		{
			name: "path with a space",
			more: `    loadBalancers:
      - name: web
        address: 45.86.152.23
        listeners: [{protocol: tcp, port: 1}]
        healthCheck: {protocol: http, path: "/health check"}
`,
			want: `14:45: "/health check": is not a path; write it as in a request: begin with / and encode other characters with %`,
		},
		{
			name: "payload too long",
			more: `    loadBalancers:
      - name: web
        address: 45.86.152.23
        listeners: [{protocol: tcp, port: 1}]
        healthCheck: {protocol: tcp, send: xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx}
`,
			want: `14:44: "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx": payload has 1025 bytes; use at most 1024`,
		},
		{
			name: "payload empty",
			more: `    loadBalancers:
      - name: web
        address: 45.86.152.23
        listeners: [{protocol: tcp, port: 1}]
        healthCheck: {protocol: tcp, send: ""}
`,
			want: `14:44: "": is empty; write a text or remove the field`,
		},
	})
}
