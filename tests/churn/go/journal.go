package main

import (
	"encoding/json"
	"os"
	"strconv"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

const (
	markName  = "churn/mark" // annotation: which write made this state
	colorName = "color"      // label that objects change, and that watches select by
	endMark   = "end"        // the mark that says that nothing follows
)

// line is one record of the journal; journal.py says what each means.
type line struct {
	Is    string     `json:"is"`
	Watch string     `json:"watch,omitempty"`
	Type  string     `json:"type,omitempty"`
	Key   string     `json:"key,omitempty"`
	RV    int64      `json:"rv,omitempty"`
	UID   string     `json:"uid,omitempty"`
	Mark  string     `json:"mark,omitempty"`
	Color string     `json:"color,omitempty"`
	Node  string     `json:"node,omitempty"`
	By    string     `json:"by,omitempty"`
	Verb  string     `json:"verb,omitempty"`
	Out   string     `json:"out,omitempty"`
	Text  string     `json:"text,omitempty"`
	From  int64      `json:"began,omitempty"`
	To    int64      `json:"ended,omitempty"`
	Items [][]string `json:"items,omitempty"`
}

type journal struct {
	mutex sync.Mutex
	file  *os.File
}

func (j *journal) write(l line) {
	data, err := json.Marshal(l)
	if err != nil {
		panic(err)
	}
	j.mutex.Lock()
	defer j.mutex.Unlock()
	if _, err := j.file.Write(append(data, '\n')); err != nil {
		panic(err)
	}
}

func now() int64 { return time.Now().UnixNano() }

func number(text string) int64 {
	value, _ := strconv.ParseInt(text, 10, 64)
	return value
}

func keyOf(resource string, object metav1.Object) string {
	return resource + "/" + object.GetNamespace() + "/" + object.GetName()
}
