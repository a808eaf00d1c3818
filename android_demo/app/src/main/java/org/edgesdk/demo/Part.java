package org.edgesdk.demo;

import org.edgesdk.EdgeException;

/** Something that is loaded in the background: not there yet, there, or damaged. */
final class Part<T> {
    final T value;
    final EdgeException error;

    private Part(T value, EdgeException error) {
        this.value = value;
        this.error = error;
    }

    static <T> Part<T> loading() {
        return new Part<T>(null, null);
    }

    static <T> Part<T> ready(T value) {
        return new Part<T>(value, null);
    }

    static <T> Part<T> failed(EdgeException error) {
        return new Part<T>(null, error);
    }

    boolean isLoading() {
        return value == null && error == null;
    }
}
