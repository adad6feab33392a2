"""Every page of the portal."""

from django.urls import include, path

urlpatterns: list = []
