package integration_test

var requirements6, requirementsHost, requirementsHooks []requirement
