// Package alerts holds the alerts and the dashboard of packaging/ to the metrics that there are, with Prometheus's own parser and engine.
//
// It is a module of its own: the product does not depend on Prometheus's server. It reads the product's files alone, docs/metrics.md and
// the scrape of metrics/testdata, which tests of package metrics keep true.
//
// Be aware:
//   - How long an alert's expression must hold ("for") is played by asking at the beginning and at the end of that time.
//   - Grafana's variables are replaced by what they may be; Grafana itself is not run.
package alerts
