package org.edgesdk.demo.core;

import java.util.Map;

/** Something that is measured, call by call. */
public abstract class BenchItem {
    /** The file of the report that it belongs to. */
    public final String file;

    /** "granularity", "cascade", "level" or "method", as in edge_sdk/bench/result.py. */
    public final String kind;

    public final String name;

    /** Name an item. */
    protected BenchItem(String file, String kind, String name) {
        this.file = file;
        this.kind = kind;
        this.name = name;
    }

    /** Of a cascade, the share of the inputs that each level answers; null of all else. */
    public Map<String, Object> answered() {
        return null;
    }

    /** Run once on the input of that number, from 0 up. */
    public abstract void call(int number) throws Exception;
}
