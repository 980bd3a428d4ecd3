// A small main for cAdvisor's library, for machines that reach no container registry.
//
// It speaks a part of the official program's command line under the same flag names, so that one Compose entry
// runs the official image and this one. What the library registers itself (-docker_only, -housekeeping_interval,
// -docker, ...) is not repeated here.
package main

import (
	"context"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/google/cadvisor/cache/memory"
	"github.com/google/cadvisor/container"
	"github.com/google/cadvisor/container/docker"
	_ "github.com/google/cadvisor/container/docker/install"
	_ "github.com/google/cadvisor/fs/vfs/install" // without a file system plugin there are no container_fs_* series
	v2 "github.com/google/cadvisor/info/v2"
	"github.com/google/cadvisor/manager"
	"github.com/google/cadvisor/metrics"
	"github.com/google/cadvisor/utils/sysfs"
	"github.com/google/cadvisor/version"
	"github.com/google/cadvisor/watcher"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"k8s.io/klog/v2"
	"k8s.io/utils/clock"
)

var (
	listenIP    = flag.String("listen_ip", "", "address to listen on; all where it is empty")
	port        = flag.Int("port", 8080, "port to listen on")
	endpoint    = flag.String("prometheus_endpoint", "/metrics", "path of the metrics")
	storeLabels = flag.Bool("store_container_labels", true, "export all labels of a container, not only those of -whitelisted_container_labels")
	labels      = flag.String("whitelisted_container_labels", "", "comma-separated labels to export when -store_container_labels is false")
	environment = flag.String("env_metadata_whitelist", "", "comma-separated prefixes of environment variables to export")
	storage     = flag.Duration("storage_duration", 2*time.Minute, "how long samples are kept in memory")
	healthcheck = flag.Bool("healthcheck", false, "ask the running server's /healthz and leave with 0 or 1")
)

// The official program's defaults of -disable_metrics.
var ignored = container.MetricSet{
	container.NetworkAdvancedTcpUsageMetrics: struct{}{},
	container.CPUTopologyMetrics:             struct{}{},
	container.CPUSetMetrics:                  struct{}{},
	container.HugetlbUsageMetrics:            struct{}{},
	container.MemoryNumaMetrics:              struct{}{},
	container.ProcessMetrics:                 struct{}{},
	container.ReferencedMemoryMetrics:        struct{}{},
	container.ResctrlMetrics:                 struct{}{},
	container.ProcessSchedulerMetrics:        struct{}{},
	container.NetworkTcpUsageMetrics:         struct{}{},
	container.NetworkUdpUsageMetrics:         struct{}{},
}

func words(text string) []string {
	return strings.FieldsFunc(text, func(r rune) bool { return r == ',' })
}

// watchesDocker tells whether Docker's factory is there: the library does not try it a second time, and
// without it answers 200 with metrics of no container.
func watchesDocker() bool {
	for _, factory := range container.GetReorderedFactoryList(watcher.Raw) {
		if factory.String() == docker.DockerNamespace {
			return true
		}
	}
	return false
}

func main() {
	klog.InitFlags(nil)
	flag.Var(&ignored, "disable_metrics", "comma-separated metrics to leave out; replaces the default list")
	_ = flag.Set("logtostderr", "true")
	flag.Parse()
	if *healthcheck {
		os.Exit(askHealth())
	}
	if err := serve(); err != nil {
		klog.Fatal(err)
	}
}

func askHealth() int {
	host := *listenIP
	if host == "" {
		host = "127.0.0.1"
	}
	client := http.Client{Timeout: 3 * time.Second}
	answer, err := client.Get("http://" + net.JoinHostPort(host, strconv.Itoa(*port)) + "/healthz")
	if err != nil {
		fmt.Println(err)
		return 1
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		fmt.Println(answer.Status)
		return 1
	}
	return 0
}

func serve() error {
	included := container.AllMetrics.Difference(ignored)
	housekeeping := manager.HousekeepingConfigFlags
	// An empty prefix is the default of the official program: an empty list would switch raw cgroups off.
	m, err := manager.New(memory.New(*storage, nil), sysfs.NewRealSysFs(), housekeeping, included, http.DefaultClient,
		[]string{""}, words(*environment), "", 0)
	if err != nil {
		return fmt.Errorf("cannot make the manager: %w", err)
	}
	if err := m.Start(); err != nil {
		return fmt.Errorf("cannot start the manager: %w", err)
	}
	if !watchesDocker() {
		return fmt.Errorf("Docker does not answer at %s", *docker.ArgDockerEndpoint)
	}

	naming := metrics.DefaultContainerLabels
	if !*storeLabels {
		naming = metrics.BaseContainerLabels(words(*labels))
	}
	registry := prometheus.NewRegistry()
	registry.MustRegister(
		metrics.NewPrometheusCollector(m, naming, included, clock.RealClock{},
			v2.RequestOptions{IdType: v2.TypeName, Count: 1, Recursive: true}),
		metrics.NewPrometheusMachineCollector(m, included),
	)
	mux := http.NewServeMux()
	mux.Handle(*endpoint, promhttp.HandlerFor(registry, promhttp.HandlerOpts{ErrorHandling: promhttp.ContinueOnError}))
	mux.HandleFunc("/healthz", func(w http.ResponseWriter, _ *http.Request) {
		if !watchesDocker() {
			http.Error(w, "Docker is not watched", http.StatusServiceUnavailable)
			return
		}
		_, _ = w.Write([]byte("ok"))
	})

	server := &http.Server{
		Addr:              net.JoinHostPort(*listenIP, strconv.Itoa(*port)),
		Handler:           mux,
		ReadHeaderTimeout: 10 * time.Second,
	}
	stop, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer cancel()
	go func() {
		<-stop.Done()
		_ = m.Stop()
		_ = server.Close()
	}()
	klog.Infof("cAdvisor's library %s listens on %s", version.Info["version"], server.Addr)
	if err := server.ListenAndServe(); err != http.ErrServerClosed {
		return err
	}
	return nil
}
