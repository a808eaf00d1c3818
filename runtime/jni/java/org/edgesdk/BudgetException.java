package org.edgesdk;

/** A budget that nothing fits, or that is none. */
public final class BudgetException extends EdgeException {
    private static final long serialVersionUID = 1L;

    /** Makes an error; arguments as in {@link EdgeException}. */
    public BudgetException(String expected, String got, String where, String hint) {
        super(expected, got, where, hint);
    }
}
