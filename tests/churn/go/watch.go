package main

import (
	"context"
	"math/rand"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
)

// watcher is an informer whose lists and watch events are written down as they arrive.
type watcher struct {
	name     string
	resource string
	object   runtime.Object
	inner    *cache.ListWatch
	streams  bool // begins with a watch that sends what is there, not with a list
	journal  *journal
	informer cache.SharedIndexInformer
	ended    atomic.Bool
	pages    [][]string
}

// listsOnly stands for a client that cannot begin with a watch.
type listsOnly struct{}

func (listsOnly) IsWatchListSemanticsUnSupported() bool { return true }

func newWatcher(j *journal, client kubernetes.Interface, name, resource, namespace string,
	object runtime.Object, streams bool, tweak func(*metav1.ListOptions)) *watcher {
	inner := cache.NewFilteredListWatchFromClient(
		client.CoreV1().RESTClient(), resource, namespace, tweak)
	w := &watcher{name: "go " + name, resource: resource, object: object, inner: inner,
		streams: streams, journal: j}
	recorded := &cache.ListWatch{ListWithContextFunc: w.list, WatchFuncWithContext: w.watch}
	var source cache.ListerWatcher
	if streams {
		source = cache.ToListWatcherWithWatchListSemantics(recorded, client)
	} else {
		source = cache.ToListWatcherWithWatchListSemantics(recorded, listsOnly{})
	}
	w.informer = cache.NewSharedIndexInformer(source, object, 0, cache.Indexers{})
	return w
}

// isAway says that the server did not answer: it is asked again, without the informer's long pauses.
func isAway(err error) bool {
	if status, ok := err.(apierrors.APIStatus); ok {
		code := status.Status().Code
		return code == http.StatusServiceUnavailable || code == http.StatusTooManyRequests
	}
	return true
}

func pause(ctx context.Context) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(50*time.Millisecond + time.Duration(rand.Int63n(int64(200*time.Millisecond)))):
		return true
	}
}

func (w *watcher) list(ctx context.Context, options metav1.ListOptions) (runtime.Object, error) {
	for {
		began := now()
		answer, err := w.inner.ListWithContext(ctx, options)
		if err == nil {
			w.noteList(answer, options, began)
			return answer, nil
		}
		if !isAway(err) || !pause(ctx) {
			w.refused("list", err)
			return nil, err
		}
	}
}

func (w *watcher) noteList(answer runtime.Object, options metav1.ListOptions, began int64) {
	about, err := meta.ListAccessor(answer)
	if err != nil {
		panic(err)
	}
	if options.Continue == "" {
		w.pages = nil
	}
	_ = meta.EachListItem(answer, func(item runtime.Object) error {
		w.pages = append(w.pages, w.item(item))
		return nil
	})
	if about.GetContinue() == "" {
		w.journal.write(line{Is: "list", Watch: w.name, RV: number(about.GetResourceVersion()),
			Items: w.pages, From: began, To: now()})
	}
}

func (w *watcher) item(object runtime.Object) []string {
	about, err := meta.Accessor(object)
	if err != nil {
		panic(err)
	}
	w.note(about)
	return []string{keyOf(w.resource, about), about.GetResourceVersion(), about.GetAnnotations()[markName],
		about.GetLabels()[colorName], nodeOf(object)}
}

func nodeOf(object runtime.Object) string {
	if pod, ok := object.(*corev1.Pod); ok {
		return pod.Spec.NodeName
	}
	return ""
}

func (w *watcher) note(object metav1.Object) {
	if object.GetAnnotations()[markName] == endMark {
		w.ended.Store(true)
	}
}

func (w *watcher) refused(verb string, err error) {
	w.journal.write(line{Is: "refused", Watch: w.name, Verb: verb, Text: err.Error()})
}

func (w *watcher) watch(ctx context.Context, options metav1.ListOptions) (watch.Interface, error) {
	seconds := 2 + rand.Int63n(15) // often, so that much of what is seen is seen after a resumption
	options.TimeoutSeconds = &seconds
	for {
		began := now()
		stream, err := w.inner.WatchWithContext(ctx, options)
		if err == nil {
			initial := options.SendInitialEvents != nil && *options.SendInitialEvents
			if !initial {
				w.journal.write(line{Is: "watch", Watch: w.name, RV: number(options.ResourceVersion),
					From: began, To: now()})
			}
			return watch.Filter(stream, w.recorder(initial, began)), nil
		}
		if apierrors.IsResourceExpired(err) || apierrors.IsGone(err) {
			w.journal.write(line{Is: "gone", Watch: w.name})
			return nil, err
		}
		if !isAway(err) || !pause(ctx) {
			w.refused("watch", err)
			return nil, err
		}
	}
}

// recorder writes down each event of one connection; those that tell what is there become a list.
func (w *watcher) recorder(initial bool, began int64) watch.FilterFunc {
	items := [][]string{}
	return func(event watch.Event) (watch.Event, bool) {
		switch event.Type {
		case watch.Error:
			err := apierrors.FromObject(event.Object)
			if apierrors.IsResourceExpired(err) || apierrors.IsGone(err) {
				w.journal.write(line{Is: "gone", Watch: w.name})
			} else if !strings.Contains(err.Error(), "unable to decode an event from the watch stream") {
				w.refused("watch", err)
			}
		case watch.Bookmark:
			about, _ := meta.Accessor(event.Object)
			rv := number(about.GetResourceVersion())
			if initial && about.GetAnnotations()[metav1.InitialEventsAnnotationKey] == "true" {
				initial = false
				w.journal.write(line{Is: "list", Watch: w.name, RV: rv, Items: items, From: began,
					To: now(), Verb: "stream"})
			} else {
				w.journal.write(line{Is: "bookmark", Watch: w.name, RV: rv})
			}
		default:
			if initial {
				items = append(items, w.item(event.Object))
				break
			}
			about, _ := meta.Accessor(event.Object)
			w.note(about)
			w.journal.write(line{Is: "event", Watch: w.name, Type: string(event.Type),
				Key: keyOf(w.resource, about), RV: number(about.GetResourceVersion()),
				UID: string(about.GetUID()), Mark: about.GetAnnotations()[markName],
				Color: about.GetLabels()[colorName], Node: nodeOf(event.Object), To: now()})
		}
		return event, true
	}
}

// store writes down what the informer holds.
func (w *watcher) store() {
	items := [][]string{}
	for _, held := range w.informer.GetStore().List() {
		items = append(items, w.item(held.(runtime.Object)))
	}
	w.journal.write(line{Is: "store", Watch: w.name, Items: items})
}
