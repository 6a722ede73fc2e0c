package agloop_test

import (
	"context"
	"fmt"
	"log"
	"net"
	"time"

	"github.com/agloop/agloop"
	"github.com/agloop/agloop/agui"
)

// serveHello starts a server for an example and returns its URL.
func serveHello() (url string, stop func()) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	srv := agloop.NewServer(agloop.ServerConfig{Agent: hello})
	served := make(chan struct{})
	go func() { defer close(served); _ = srv.ServeListener(ln) }()
	return "ws://" + ln.Addr().String() + "/ws", func() {
		_ = srv.Close()
		<-served
	}
}

// A transport is set up with the defaults of the performance system.
func ExampleNewTransport() {
	url, stop := serveHello()
	defer stop()

	config := agloop.DefaultTransportConfig()
	config.URLs = []string{url}
	config.PerformanceConfig.MaxConcurrentConnections = 1000
	config.PerformanceConfig.EnableMetrics = true

	transport, err := agloop.NewTransport(config)
	if err != nil {
		log.Fatal(err)
	}
	ctx := context.Background()
	if err := transport.Start(ctx); err != nil {
		log.Fatal(err)
	}
	defer transport.Stop()

	for ev, err := range transport.Run(ctx, &agui.RunAgentInput{ThreadID: "t", RunID: "r"}) {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(ev.Type())
	}
	fmt.Println(transport.IsConnected())
	// Output:
	// RUN_STARTED
	// TEXT_MESSAGE_START
	// TEXT_MESSAGE_CONTENT
	// TEXT_MESSAGE_END
	// RUN_FINISHED
	// true
}

// Figures are read while it runs.
func ExampleTransport_GetPerformanceMetrics() {
	url, stop := serveHello()
	defer stop()
	config := agloop.DefaultTransportConfig()
	config.URLs = []string{url}
	transport, err := agloop.NewTransport(config)
	if err != nil {
		log.Fatal(err)
	}
	if err := transport.Start(context.Background()); err != nil {
		log.Fatal(err)
	}
	defer transport.Stop()

	metrics := transport.GetPerformanceMetrics()
	if metrics != nil {
		fmt.Println("connections:", metrics.ActiveConnections)
		fmt.Println("memory known:", metrics.MemoryUsage > 0)
		_ = metrics.AvgLatency
		_ = metrics.MessagesPerSecond
	}

	memoryUsage := transport.GetMemoryUsage()
	fmt.Println("memory usage known:", memoryUsage/(1024*1024) > 0)

	if perfManager := transport.GetPerformanceManager(); perfManager != nil {
		if memManager := perfManager.GetMemoryManager(); memManager != nil {
			pressure := memManager.GetMemoryPressure()
			interval := memManager.GetMonitoringInterval()
			fmt.Println("pressure known:", pressure > 0)
			fmt.Println("interval within bounds:", interval >= 500*time.Millisecond && interval <= time.Minute)
		}
	}
	// Output:
	// connections: 1
	// memory known: true
	// memory usage known: true
	// pressure known: true
	// interval within bounds: true
}

// A profile turns every knob at once, for open connections too.
func ExampleTransport_OptimizeForLatency() {
	url, stop := serveHello()
	defer stop()
	config := agloop.DefaultTransportConfig()
	config.URLs = []string{url}
	transport, err := agloop.NewTransport(config)
	if err != nil {
		log.Fatal(err)
	}
	if err := transport.Start(context.Background()); err != nil {
		log.Fatal(err)
	}
	defer transport.Stop()
	batcher := transport.GetPerformanceManager().GetMessageBatcher()

	// For real-time applications (minimize latency)
	transport.OptimizeForLatency()
	fmt.Println("latency:", batcher.BatchSize())

	// For high-volume applications (maximize throughput)
	transport.OptimizeForThroughput()
	fmt.Println("throughput:", batcher.BatchSize(), batcher.BatchTimeout())

	// For resource-constrained environments (minimize memory)
	transport.OptimizeForMemory()
	fmt.Println("memory:", batcher.BatchSize(), batcher.BatchTimeout())

	// For dynamic workloads (automatic optimization)
	transport.EnableAdaptiveOptimization()
	fmt.Println(transport.GetPerformanceManager().GetAdaptiveOptimizer().Enabled())
	// Output:
	// latency: 1
	// throughput: 64 10ms
	// memory: 10 5ms
	// true
}
