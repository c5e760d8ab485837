//go:build tools

// Package tools pins Jaeger all-in-one, the trace store and query API that `make jaeger` reads spans back from.
// The replace line in go.mod is Jaeger's own: a module's replaces do not reach those who require it.
package tools

import _ "github.com/jaegertracing/jaeger/cmd/all-in-one"
