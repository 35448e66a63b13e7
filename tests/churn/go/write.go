package main

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
)

const holdName = "churn/hold"

type fields = map[string]any

// writer changes objects that nobody else writes, one call at a time.
type writer struct {
	name      string
	namespace string
	client    kubernetes.Interface
	journal   *journal
	random    *rand.Rand
	count     int
}

func (w *writer) mark() string {
	w.count++
	return fmt.Sprintf("%s/%d", w.name, w.count)
}

func (w *writer) color() string { return []string{"red", "blue"}[w.random.Intn(2)] }

// did writes down one call with how it ended.
func (w *writer) did(verb, key, mark, color string, began int64, made metav1.Object, err error) string {
	l := line{Is: "write", By: w.name, Verb: verb, Key: key, Mark: mark, Color: color, From: began,
		To: now()}
	switch {
	case err == nil:
		l.Out = "ok"
		if made != nil {
			l.RV, l.UID = number(made.GetResourceVersion()), string(made.GetUID())
		}
	case apierrors.IsConflict(err):
		l.Out = "conflict"
	case apierrors.IsNotFound(err):
		l.Out = "missing"
	case apierrors.IsAlreadyExists(err):
		l.Out = "exists"
	case isAway(err):
		l.Out, l.Text = "doubt", err.Error()
	default:
		l.Out, l.Text = "refused", err.Error()
	}
	w.journal.write(l)
	return l.Out
}

// known asks for an object until there is an answer; nil if it is not there.
func (w *writer) known(ctx context.Context, name string) *corev1.ConfigMap {
	for {
		found, err := w.client.CoreV1().ConfigMaps(w.namespace).Get(ctx, name, metav1.GetOptions{})
		if err == nil {
			return found
		}
		if apierrors.IsNotFound(err) || !pause(ctx) {
			return nil
		}
	}
}

func (w *writer) run(ctx context.Context, every time.Duration, step func(context.Context)) {
	for ctx.Err() == nil {
		step(context.Background()) // what has begun ends
		select {
		case <-ctx.Done():
		case <-time.After(time.Duration(float64(every) * (0.5 + w.random.Float64()))):
		}
	}
}

func encoded(value any) []byte {
	data, err := json.Marshal(value)
	if err != nil {
		panic(err)
	}
	return data
}

// configMaps creates, changes in every way, and deletes a few objects.
func (w *writer) configMaps(size int) func(context.Context) {
	objects := make([]*corev1.ConfigMap, size)
	return func(ctx context.Context) {
		index := w.random.Intn(size)
		name := fmt.Sprintf("%s-%d", w.name, index)
		held := objects[index]
		var out string
		switch draw := w.random.Intn(100); {
		case held == nil:
			objects[index], out = w.create(ctx, name)
		case held.DeletionTimestamp != nil:
			objects[index], out = w.release(ctx, name)
		case draw < 12:
			objects[index], out = w.remove(ctx, held)
		case draw < 25:
			_, out = w.update(ctx, held, "stale")
		case draw < 40:
			objects[index], out = w.update(ctx, held, "update")
		default:
			objects[index], out = w.patch(ctx, held)
		}
		if out != "ok" {
			objects[index] = w.known(ctx, name)
		}
	}
}

func (w *writer) create(ctx context.Context, name string) (*corev1.ConfigMap, string) {
	mark, color := w.mark(), w.color()
	made := &corev1.ConfigMap{Data: map[string]string{"mark": mark}}
	made.Name, made.Labels = name, map[string]string{colorName: color}
	made.Annotations = map[string]string{markName: mark}
	if w.random.Intn(4) == 0 {
		made.Finalizers = []string{holdName}
	}
	began := now()
	answer, err := w.client.CoreV1().ConfigMaps(w.namespace).Create(ctx, made, metav1.CreateOptions{})
	out := w.did("create", w.key(name), mark, color, began, answer, err)
	return answer, out
}

func (w *writer) key(name string) string { return "configmaps/" + w.namespace + "/" + name }

// update replaces an object; "stale" does so with a version that is not the newest.
func (w *writer) update(ctx context.Context, held *corev1.ConfigMap, verb string) (*corev1.ConfigMap, string) {
	mark, color := w.mark(), w.color()
	changed := held.DeepCopy()
	if verb == "stale" {
		changed.ResourceVersion = strconv.FormatInt(number(held.ResourceVersion)-1, 10)
	}
	changed.Labels = map[string]string{colorName: color}
	changed.Annotations = map[string]string{markName: mark}
	changed.Data = map[string]string{"mark": mark}
	began := now()
	answer, err := w.client.CoreV1().ConfigMaps(w.namespace).Update(ctx, changed, metav1.UpdateOptions{})
	return answer, w.did(verb, w.key(held.Name), mark, color, began, answer, err)
}

func (w *writer) patch(ctx context.Context, held *corev1.ConfigMap) (*corev1.ConfigMap, string) {
	mark, color := w.mark(), w.color()
	whole := fields{
		"metadata": fields{
			"annotations": fields{markName: mark}, "labels": fields{colorName: color}},
		"data": fields{"mark": mark},
	}
	options := metav1.PatchOptions{FieldManager: w.name}
	var kind types.PatchType
	var verb string
	body := encoded(whole)
	switch w.random.Intn(4) {
	case 0:
		kind, verb = types.MergePatchType, "merge"
	case 1:
		kind, verb = types.StrategicMergePatchType, "strategic"
	case 2:
		kind, verb = types.ApplyPatchType, "apply"
		whole["apiVersion"], whole["kind"] = "v1", "ConfigMap"
		body = encoded(whole)
		force := true
		options.Force = &force
	default:
		kind, verb = types.JSONPatchType, "json"
		escaped := strings.ReplaceAll(markName, "/", "~1")
		body = encoded([]fields{
			{"op": "replace", "path": "/metadata/annotations/" + escaped, "value": mark},
			{"op": "add", "path": "/metadata/labels/" + colorName, "value": color},
			{"op": "replace", "path": "/data/mark", "value": mark},
		})
	}
	began := now()
	answer, err := w.client.CoreV1().ConfigMaps(w.namespace).Patch(ctx, held.Name, kind, body, options)
	return answer, w.did(verb, w.key(held.Name), mark, color, began, answer, err)
}

// remove deletes an object; one with a finalizer stays until it is released.
func (w *writer) remove(ctx context.Context, held *corev1.ConfigMap) (*corev1.ConfigMap, string) {
	began := now()
	options := metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &held.UID}}
	err := w.client.CoreV1().ConfigMaps(w.namespace).Delete(ctx, held.Name, options)
	verb := "delete"
	if len(held.Finalizers) > 0 {
		verb = "condemn"
	}
	out := w.did(verb, w.key(held.Name), "", "", began, nil, err)
	if out == "ok" && verb == "condemn" {
		return w.known(ctx, held.Name), out
	}
	return nil, out
}

func (w *writer) release(ctx context.Context, name string) (*corev1.ConfigMap, string) {
	began := now()
	body := encoded(fields{"metadata": fields{"finalizers": nil}})
	_, err := w.client.CoreV1().ConfigMaps(w.namespace).Patch(
		ctx, name, types.MergePatchType, body, metav1.PatchOptions{})
	return nil, w.did("release", w.key(name), "", "", began, nil, err)
}

// count raises a number that others raise too.
func (w *writer) raise(ctx context.Context) {
	held := w.known(ctx, "counter")
	if held == nil {
		return
	}
	value := strconv.FormatInt(number(held.Data["count"])+1, 10)
	mark := value + "|" + w.mark()
	held.Data["count"] = value
	held.Annotations = map[string]string{markName: mark}
	began := now()
	answer, err := w.client.CoreV1().ConfigMaps(w.namespace).Update(ctx, held, metav1.UpdateOptions{})
	w.did("raise", w.key("counter"), mark, "", began, answer, err)
}

// nodes changes nodes beside their own controllers.
func (w *writer) nodes(names []string) func(context.Context) {
	return func(ctx context.Context) {
		name, mark, color := names[w.random.Intn(len(names))], w.mark(), w.color()
		body := encoded(fields{"metadata": fields{
			"annotations": fields{markName: mark}, "labels": fields{colorName: color}}})
		kind, verb := types.StrategicMergePatchType, "strategic"
		if w.random.Intn(2) == 0 {
			kind, verb = types.MergePatchType, "merge"
		}
		began := now()
		answer, err := w.client.CoreV1().Nodes().Patch(ctx, name, kind, body, metav1.PatchOptions{})
		w.did(verb, "nodes//"+name, mark, color, began, answer, err)
	}
}

// scale changes how many pods a Deployment has.
func (w *writer) scale(ctx context.Context) {
	body := encoded(fields{"spec": fields{"replicas": 1 + w.random.Intn(6)}})
	began := now()
	answer, err := w.client.AppsV1().Deployments(w.namespace).Patch(
		ctx, "web", types.MergePatchType, body, metav1.PatchOptions{}, "scale")
	w.did("scale", "deployments/"+w.namespace+"/web", "", "", began, answer, err)
}
