package org.edgesdk;

/** A granularity, or a plan, is unknown. */
public final class GranularityException extends EdgeException {
    private static final long serialVersionUID = 1L;

    /** Makes an error; arguments as in {@link EdgeException}. */
    public GranularityException(String expected, String got, String where, String hint) {
        super(expected, got, where, hint);
    }
}
