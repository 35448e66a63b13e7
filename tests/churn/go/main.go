// The client-go half of the churn suite: informers and writers against one cluster.
//
// It is given a kubeconfig, a file for its journal and a rate, and told by lines of its standard
// input to stop writing ("quiet") and to end once every informer has seen the end ("finish").
package main

import (
	"bufio"
	"context"
	"flag"
	"fmt"
	"log"
	"math/rand"
	"os"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
)

func main() {
	kubeconfig := flag.String("kubeconfig", "", "file")
	path := flag.String("journal", "", "file to append to")
	rate := flag.Float64("rate", 20, "writes per second")
	seed := flag.Int64("seed", 1, "of what is written")
	nodes := flag.String("nodes", "", "names of nodes, by comma")
	late := flag.Duration("late", 60*time.Second, "how long the end may take to be seen")
	flag.Parse()

	config, err := clientcmd.BuildConfigFromFlags("", *kubeconfig)
	if err != nil {
		log.Fatal(err)
	}
	config.QPS = -1
	config.Timeout = 0
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		log.Fatal(err)
	}
	file, err := os.OpenFile(*path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		log.Fatal(err)
	}
	book := &journal{file: file}
	names := strings.Split(*nodes, ",")
	watchers := startWatchers(book, client, names[0])
	ctx, quiet := context.WithCancel(context.Background())
	writers := startWriters(ctx, book, client, *rate, *seed, names)
	fmt.Println("ready")

	orders := bufio.NewScanner(os.Stdin)
	for orders.Scan() {
		switch orders.Text() {
		case "quiet":
			quiet()
			writers.Wait()
			fmt.Println("quiet")
		case "finish":
			finish(book, watchers, *late)
			fmt.Println("finished")
			return
		}
	}
}

func startWatchers(j *journal, client kubernetes.Interface, node string) []*watcher {
	everything := func(*metav1.ListOptions) {}
	red := func(options *metav1.ListOptions) { options.LabelSelector = colorName + "=red" }
	onNode := func(options *metav1.ListOptions) { options.FieldSelector = "spec.nodeName=" + node }
	configMap, pod := &corev1.ConfigMap{}, &corev1.Pod{}
	watchers := []*watcher{
		newWatcher(j, client, "configmaps", "configmaps", "", configMap, true, everything),
		newWatcher(j, client, "configmaps in churn-a", "configmaps", "churn-a", configMap, false, everything),
		newWatcher(j, client, "red configmaps", "configmaps", "", configMap, false, red),
		newWatcher(j, client, "red configmaps in churn-b", "configmaps", "churn-b", configMap, true, red),
		newWatcher(j, client, "nodes", "nodes", "", &corev1.Node{}, true, everything),
		newWatcher(j, client, "red nodes", "nodes", "", &corev1.Node{}, false, red),
		newWatcher(j, client, "pods", "pods", "", pod, false, everything),
		newWatcher(j, client, "pods on "+node, "pods", "", pod, true, onNode),
	}
	for _, w := range watchers {
		go w.informer.RunWithContext(context.Background())
	}
	return watchers
}

func startWriters(ctx context.Context, j *journal, client kubernetes.Interface, rate float64,
	seed int64, nodes []string) *sync.WaitGroup {
	group := &sync.WaitGroup{}
	start := func(name, namespace string, share float64, step func(*writer) func(context.Context)) {
		w := &writer{name: name, namespace: namespace, client: client, journal: j,
			random: rand.New(rand.NewSource(seed))}
		seed++
		every := time.Duration(float64(time.Second) / (rate * share))
		group.Go(func() { w.run(ctx, every, step(w)) })
	}
	maps := func(w *writer) func(context.Context) { return w.configMaps(8) }
	start("go-0", "churn-a", 0.3, maps)
	start("go-1", "churn-b", 0.3, maps)
	start("go-2", "churn-b", 0.1, func(w *writer) func(context.Context) { return w.raise })
	start("go-3", "churn-b", 0.1, func(w *writer) func(context.Context) { return w.raise })
	start("go-4", "", 0.15, func(w *writer) func(context.Context) { return w.nodes(nodes) })
	start("go-5", "churn-a", 0.05, func(w *writer) func(context.Context) { return w.scale })
	return group
}

func finish(j *journal, watchers []*watcher, late time.Duration) {
	deadline := time.Now().Add(late)
	for _, w := range watchers {
		for !w.ended.Load() && time.Now().Before(deadline) {
			time.Sleep(20 * time.Millisecond)
		}
		if !w.ended.Load() {
			j.write(line{Is: "late", Watch: w.name})
		}
	}
	time.Sleep(200 * time.Millisecond) // informers take in what they were just told
	for _, w := range watchers {
		if w.resource == "configmaps" {
			w.store()
		}
	}
}
